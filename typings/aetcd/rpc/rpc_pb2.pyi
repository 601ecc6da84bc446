"""The part of etcd's v3 messages that we use; aetcd ships no types of its own."""

from collections.abc import Sequence

from aetcd.rpc.kv_pb2 import Event, KeyValue

class ResponseHeader:
    cluster_id: int
    member_id: int
    revision: int

class RangeRequest:
    def __init__(
        self,
        *,
        key: bytes = ...,
        range_end: bytes = ...,
        limit: int = ...,
        revision: int = ...,
        keys_only: bool = ...,
    ) -> None: ...

class RangeResponse:
    header: ResponseHeader
    kvs: Sequence[KeyValue]
    more: bool
    count: int

class PutRequest:
    def __init__(self, *, key: bytes = ..., value: bytes = ..., lease: int = ...) -> None: ...

class DeleteRangeRequest:
    def __init__(self, *, key: bytes = ..., range_end: bytes = ...) -> None: ...

class RequestOp:
    def __init__(
        self,
        *,
        request_range: RangeRequest = ...,
        request_put: PutRequest = ...,
        request_delete_range: DeleteRangeRequest = ...,
    ) -> None: ...

class ResponseOp:
    response_range: RangeResponse

class Compare:
    EQUAL: int
    CREATE: int
    MOD: int
    def __init__(
        self,
        *,
        result: int = ...,
        target: int = ...,
        key: bytes = ...,
        create_revision: int = ...,
        mod_revision: int = ...,
    ) -> None: ...

class TxnRequest:
    def __init__(
        self,
        *,
        compare: Sequence[Compare] = ...,
        success: Sequence[RequestOp] = ...,
        failure: Sequence[RequestOp] = ...,
    ) -> None: ...
    def ByteSize(self) -> int: ...

class TxnResponse:
    header: ResponseHeader
    succeeded: bool
    responses: Sequence[ResponseOp]

class CompactionRequest:
    def __init__(self, *, revision: int = ..., physical: bool = ...) -> None: ...

class CompactionResponse:
    header: ResponseHeader

class WatchCreateRequest:
    def __init__(
        self,
        *,
        key: bytes = ...,
        range_end: bytes = ...,
        start_revision: int = ...,
        progress_notify: bool = ...,
    ) -> None: ...

class WatchRequest:
    def __init__(self, *, create_request: WatchCreateRequest = ...) -> None: ...

class WatchResponse:
    header: ResponseHeader
    created: bool
    canceled: bool
    compact_revision: int
    cancel_reason: str
    events: Sequence[Event]

class LeaseGrantRequest:
    def __init__(self, *, TTL: int = ..., ID: int = ...) -> None: ...

class LeaseGrantResponse:
    header: ResponseHeader
    ID: int
    TTL: int

class LeaseKeepAliveRequest:
    def __init__(self, *, ID: int = ...) -> None: ...

class LeaseKeepAliveResponse:
    header: ResponseHeader
    ID: int
    TTL: int

class LeaseRevokeRequest:
    def __init__(self, *, ID: int = ...) -> None: ...

class LeaseRevokeResponse:
    header: ResponseHeader
