"""Bound the numbers of Docker's API by what we can hold.

Objects of the API are laid out as structs, in Pascal case where a field does not say otherwise. A
field whose default is the zero of its kind is left out when it is empty, as Go's `omitempty` has
it. One whose default is None is written whenever it is set, if only to its zero, and when it was
not sent it is None.
"""

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A number of things, of which we count two thousand million."""
Amount = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""An amount of bytes, of nanoseconds, or of billionths of a core."""
