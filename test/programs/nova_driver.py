"""Has Nova's libvirt driver move a guest, by the calls that its compute manager makes.

usage: nova_driver.py CONFIGURATION GUEST HOW

CONFIGURATION is a nova.conf. HOW has words: disks (block migration), inbound=ADDRESS (the
destination's live_migration_inbound_addr), abort, force (force_complete).

What a whole OpenStack would keep in its database is kept nowhere.
"""

import sys

configuration, guest, how = sys.argv[1:]
how = how.split(",")

import nova.monkey_patch  # before all else, as Nova's programs do

import eventlet
import libvirt
from nova import config, context, objects
from nova.objects import fields
from nova.virt.libvirt import driver as libvirt_driver

config.parse_args(["nova-compute", "--config-file", configuration], configure_db=False, init_rpc=False)
objects.register_all()

domain = libvirt.open("qemu:///system").lookupByName(guest)


class Instance(objects.Instance):
    def save(self, *_, **__):
        pass


class Migration(objects.Migration):
    def save(self):
        pass


objects.BlockDeviceMappingList.get_by_instance_uuid = classmethod(lambda cls, ctxt, uuid, **_: objects.BlockDeviceMappingList(objects=[]))

ctxt = context.get_admin_context()
instance = Instance(
    ctxt, id=1, uuid=domain.UUIDString(), host="host-a", vm_state="active", task_state="migrating", root_device_name="/dev/vda",
    flavor=objects.Flavor(memory_mb=domain.maxMemory() >> 10, vcpus=1, root_gb=0, ephemeral_gb=0, swap=0, extra_specs={}),
    migration_context=None, resources=None, numa_topology=None, project_id="p", user_id="u", display_name=guest,
)
migration = Migration(ctxt, id=1, uuid="8e0a0b2c-6f0f-4c6e-8f52-3f3c0c4d5e6f", status="running", instance_uuid=instance.uuid)
data = objects.LibvirtLiveMigrateData(
    block_migration="disks" in how, migration=migration, bdms=[], serial_listen_addr=None, serial_listen_ports=[], supported_perf_events=[],
    is_shared_block_storage=False, is_shared_instance_path=False,
)
for word in how:
    if word.startswith("inbound="):
        data.target_connect_addr = word.removeprefix("inbound=")

driver = libvirt_driver.LibvirtDriver(None)
driver._host.initialize()
driver._parse_migration_flags()
ended = []


def steers():
    """Does what a user asks of the migration, once it runs."""
    while domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_UNBOUNDED or not domain.jobStats().get("memory_processed"):
        eventlet.sleep(0.05)
    if "abort" in how:
        driver.live_migration_abort(instance)
    else:
        driver.live_migration_force_complete(instance)


if "abort" in how or "force" in how:
    eventlet.spawn(steers)
driver.live_migration(
    ctxt, instance, "host-b",
    lambda *_, **__: ended.append("moved"), lambda *_, **__: ended.append("stays"),
    "disks" in how, data,
)
print(*ended, "progress", migration.memory_processed if "memory_processed" in migration else None)
sys.exit(0 if ended == ["moved"] else 3 if ended == ["stays"] else 1)
