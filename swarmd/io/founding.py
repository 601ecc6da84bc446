"""Found a swarm on this node: root, identity, data key, and the first objects in etcd.

Nothing counts until the membership is written, which the caller does last: whatever an
interrupted founding left behind is swept away by the next one.
"""

import asyncio
import shutil
import time
from pathlib import Path
from random import SystemRandom

from manager.bootstrap import first_commit
from manager.ca.issuing import issue, node_id_of
from manager.ca.vault import Founded, found, token_of
from manager.io.etcd import EtcdStore, Target
from swarm.addresses import parse_address
from swarm.certificates import Identity, bind, make_key
from swarm.errors import Unavailable
from swarm.ids import ClusterId, NodeId, make_id
from swarm.io.identity import IdentityFiles
from swarm.io.private import save_data_key
from swarm.objects import Node, NodeDescription
from swarm.sealing import DataKey, make_data_key
from swarm.specs import Availability, ClusterSpec, NodeSpec, Role
from swarmd.etcd import last_words
from swarmd.settings import Membership, Settings

SERVES_WITHIN_S = 20.0
_TAIL_BYTES = 16_384


class Foundation:
    """A swarm that exists in memory and on this node's disk, not yet in etcd."""

    def __init__(
        self,
        settings: Settings,
        spec: ClusterSpec,
        *,
        listen_addr: str,
        advertise_addr: str,
        data_path_addr: str = "",
    ) -> None:
        random, now = SystemRandom(), time.time()
        self._settings = settings
        self._data_key: DataKey = make_data_key(random)
        self._founded: Founded = found(
            ClusterId(make_id(random)), spec, data_key=self._data_key, now=now, random=random
        )
        key = make_key(random)
        self.node_id: NodeId = node_id_of(key.public_key())
        host, _ = parse_address(advertise_addr)
        authority = self._founded.authority
        certificate = issue(
            authority,
            key.public_key(),
            node_id=self.node_id,
            role=Role.MANAGER,
            expiry_s=spec.cert_expiry_s,
            now=now,
            random=random,
            addresses=(host, "127.0.0.1"),
        )
        self.identity: Identity = bind(key, certificate, authority.pem)
        self.membership = Membership(
            node_id=self.node_id,
            cluster_id=self._founded.cluster.id,
            role=Role.MANAGER,
            listen_addr=listen_addr,
            advertise_addr=advertise_addr,
            data_path_addr=data_path_addr,
        )

    @property
    def worker_token(self) -> str:
        """What a worker joins with."""
        return token_of(self._founded.cluster, Role.WORKER, self._data_key).text

    def lay_down(self) -> None:
        """Write identity and data key; remove what an interrupted founding left."""
        shutil.rmtree(self._settings.etcd_dir, ignore_errors=True)
        self._settings.etcd_log.unlink(missing_ok=True)
        save_data_key(self._settings.data_key_file, self._data_key)
        IdentityFiles(self._settings.certificates).install(self.identity)

    async def store(self, availability: Availability, hostname: str) -> None:
        """Commit the first objects as soon as etcd serves."""
        now = time.time()
        node = Node(
            id=self.node_id,
            spec=NodeSpec(role=Role.MANAGER, availability=availability),
            description=NodeDescription(
                hostname=hostname, addr=parse_address(self.membership.advertise_addr)[0]
            ),
            created_at=now,
            updated_at=now,
        )
        store = EtcdStore(
            Target(
                endpoints=(self.membership.etcd_client_url,),
                identity=self.identity,
                timeout_s=SERVES_WITHIN_S,
            )
        )
        try:
            await store.commit(first_commit(self._founded.cluster, node))
        except Unavailable as err:
            said = await asyncio.to_thread(_tail, self._settings.etcd_log)
            words = last_words(said) or err.message
            raise Unavailable(
                f"etcd does not serve: {words}", hint=f"see {self._settings.etcd_log}"
            ) from err
        finally:
            await store.close()


def _tail(path: Path) -> bytes:
    try:
        return path.read_bytes()[-_TAIL_BYTES:]
    except OSError:
        return b""
