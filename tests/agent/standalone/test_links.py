"""What a container learns of those that it is linked to in the bridge."""

from agent.standalone import links
from agent.standalone.links import Linked

DB = Linked(
    alias="my-db",
    name="postgres",
    hostname="0123456789ab",
    addresses=("172.17.0.2",),
    exposed=("5432/tcp", "80/tcp"),
    env=("PGDATA=/data", "PATH=/bin", "EMPTY"),
)


def test_a_link_is_a_line_with_all_its_names() -> None:
    assert links.hosts(DB) == ("172.17.0.2\tmy-db 0123456789ab postgres",)
    assert list(links.extras(DB)) == ["my-db 0123456789ab postgres:172.17.0.2"]


def test_a_link_is_variables_as_with_docker() -> None:
    assert list(links.environment("web", (DB,))) == [
        "MY_DB_PORT=tcp://172.17.0.2:80",
        "MY_DB_PORT_80_TCP=tcp://172.17.0.2:80",
        "MY_DB_PORT_80_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_80_TCP_PORT=80",
        "MY_DB_PORT_80_TCP_PROTO=tcp",
        "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_PGDATA=/data",
    ]
