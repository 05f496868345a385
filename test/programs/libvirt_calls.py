"""Moves a guest as a program of libvirt's Python bindings, or of another language's, does.

usage: libvirt_calls.py GUEST CALL DESTINATION FLAGS [PARAMETER=VALUE ...]

CALL is libvirt's: migrateToURI3, its older form migrateToURI2, or migrate3, for which this program
connects to the destination as well. FLAGS are names without VIR_MIGRATE_, and parameters those of virDomainMigrateToURI3; xml=dest
has the guest's own description given.
"""

import sys

import libvirt

guest, call, destination, flags = sys.argv[1:5]
source = libvirt.open("qemu:///system")
domain = source.lookupByName(guest)
params = {}
for one in sys.argv[5:]:
    name, value = one.split("=", 1)
    if value == "dest":
        value = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE)
    elif value.isdigit():
        value = int(value)
    elif name == libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS:
        value = value.split(",")
    params[name] = value
bits = 0
for name in flags.split(","):
    bits |= getattr(libvirt, "VIR_MIGRATE_" + name)
if call == "migrate3":
    remote = libvirt.open(destination)
    remote.getLibVersion()
    moved = domain.migrate3(remote, params, bits)
    assert moved.UUIDString() == remote.lookupByName(guest).UUIDString()
elif call == "migrateToURI2":
    domain.migrateToURI2(destination, params["migrate_uri"], params.get("destination_xml"), bits, None, params.get("bandwidth", 0))
else:
    domain.migrateToURI3(destination, params, bits)
