#!/bin/sh
# Builds libvirt's modular daemons: their own objects alone, linked with the libraries that are
# installed. Drivers are modules, which the daemons load from where libvirtd does.
set -eu
version=$1
installed=$(dpkg-query --show --showformat '${Version}' libvirt0)
if [ "$installed" != "$version" ]; then
	echo "the mirror has libvirt $installed by now, and the root has $version: remove the root, so that it is built again" >&2
	exit 1
fi
mkdir /src /out
cd /src
apt-get --quiet --quiet --option APT::Sandbox::User=root source --download-only --tar-only "libvirt=$version"
tar --extract --xz --strip-components 1 --file libvirt_*.orig.tar.xz
meson setup build --prefix /usr --libdir "lib/$(gcc -print-multiarch)" --buildtype release -Dauto_features=disabled \
	-Ddriver_remote=enabled -Ddriver_libvirtd=enabled -Ddriver_qemu=enabled -Djson_c=enabled \
	-Ddriver_network=enabled -Ddriver_secrets=enabled -Dstorage_dir=enabled
daemons="virtqemud virtproxyd virtstoraged virtnetworkd virtsecretd"
for daemon in $daemons; do
	ninja -C build -t targets all | sed -n "s|^\(src/$daemon\.p/.*\.o\): .*|\1|p"
done >objects
ninja -C build src/admin/libvirt_admin_driver.a $(cat objects)
mkdir -p /out/usr/sbin
for daemon in $daemons; do
	gcc -pie -o "/out/usr/sbin/$daemon" build/src/"$daemon".p/*.o build/src/admin/libvirt_admin_driver.a \
		-l:libvirt.so.0 -l:libvirt-lxc.so.0 -l:libvirt-qemu.so.0 $(pkg-config --libs gio-2.0 gnutls libtirpc libxml-2.0)
	"/out/usr/sbin/$daemon" --version
done
