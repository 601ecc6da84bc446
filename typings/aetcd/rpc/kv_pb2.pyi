class KeyValue:
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int

class Event:
    PUT: int
    DELETE: int
    type: int
    kv: KeyValue
