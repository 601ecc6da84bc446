"""Make images from Dockerfiles."""
