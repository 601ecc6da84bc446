from aetcd.rpc.rpc_pb2 import (
    CompactionRequest,
    CompactionResponse,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
    RangeRequest,
    RangeResponse,
    TxnRequest,
    TxnResponse,
    WatchRequest,
    WatchResponse,
)
from grpc import Channel as BlockingChannel
from grpc.aio import Channel, StreamStreamMultiCallable, UnaryUnaryMultiCallable

class KVStub:
    Range: UnaryUnaryMultiCallable[RangeRequest, RangeResponse]
    Txn: UnaryUnaryMultiCallable[TxnRequest, TxnResponse]
    Compact: UnaryUnaryMultiCallable[CompactionRequest, CompactionResponse]
    def __init__(self, channel: Channel) -> None: ...

class WatchStub:
    Watch: StreamStreamMultiCallable[WatchRequest, WatchResponse]
    def __init__(self, channel: Channel) -> None: ...

class LeaseStub:
    LeaseGrant: UnaryUnaryMultiCallable[LeaseGrantRequest, LeaseGrantResponse]
    LeaseKeepAlive: StreamStreamMultiCallable[LeaseKeepAliveRequest, LeaseKeepAliveResponse]
    LeaseRevoke: UnaryUnaryMultiCallable[LeaseRevokeRequest, LeaseRevokeResponse]
    def __init__(self, channel: Channel | BlockingChannel) -> None: ...
