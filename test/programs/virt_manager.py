"""Runs virt-manager and moves a guest by its migration dialog, as a person would who changes nothing
in it, or only its mode.

usage: virt_manager.py GUEST DESTINATION direct|tunnelled
"""

import os
import sys

guest, destination, mode = sys.argv[1:]
source = "qemu:///system"
sys.argv = ["virt-manager", "--no-fork", "--connect", source]
sys.path.insert(0, "/usr/share/virt-manager")

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import GLib

from virtManager import virtmanager


class Person:
    """Looks at the program every so often, and does what is next."""

    def __init__(self):
        self.next = self.connects

    def looks(self):
        try:
            self.next()
        except SystemExit as e:
            self.leaves(e.code)
        except BaseException:
            import traceback

            traceback.print_exc()
            self.leaves(1)
        return True

    def leaves(self, status):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def connects(self):
        from virtManager.connmanager import vmmConnectionManager

        self.manager = vmmConnectionManager.get_instance()
        if source in self.manager.conns:
            self.manager.add_conn(destination).open()
            self.next = self.opens

    def opens(self):
        from virtManager.manager import vmmManager
        from virtManager.migrate import vmmMigrateDialog

        conns = self.manager.conns
        if conns[destination].is_disconnected():
            sys.exit("virt-manager does not connect to " + destination)
        vms = [vm for vm in conns[source].list_vms() if vm.get_name() == guest] if conns[source].is_active() else []
        if not vms or not conns[destination].is_active():
            return
        vmmMigrateDialog.show_instance(vmmManager.get_instance(None), vms[0])
        self.dialog = vmmMigrateDialog._instance
        self.dialog.err.show_err = self.fails
        if mode == "tunnelled":
            self.dialog.widget("migrate-mode").set_active(1)
        self.next = self.asks

    def asks(self):
        print("to", self.dialog.widget("migrate-address").get_text(), int(self.dialog.widget("migrate-port").get_value()))
        self.dialog.widget("migrate-finish").clicked()
        self.next = self.waits

    def fails(self, summary, details=None, **_):
        print(summary, details)
        self.leaves(1)

    def waits(self):
        if not self.dialog.topwin.get_visible():
            sys.exit(0)


GLib.timeout_add(100, Person().looks)
virtmanager.main()
