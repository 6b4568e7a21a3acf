# A package of which the host has an older version than a repository that it knows offers, so that there is something to upgrade.
# Run as root: put, upgraded (is it?), forget.
set -e
dir=/var/tmp/laurel-probe
case $1 in
put)
    rm -rf $dir
    mkdir -p $dir/repo
    for version in 1.0 2.0; do
        mkdir -p $dir/$version/DEBIAN
        {
            printf 'Package: laurel-probe\nVersion: %s\nArchitecture: all\n' $version
            printf 'Maintainer: nobody\nDescription: probe\n'
        } > $dir/$version/DEBIAN/control
        dpkg-deb --build $dir/$version $dir/laurel-probe_$version.deb > /dev/null
    done
    dpkg -i $dir/laurel-probe_1.0.deb > /dev/null
    cp $dir/laurel-probe_2.0.deb $dir/repo/
    {
        cat $dir/2.0/DEBIAN/control
        printf 'Filename: ./laurel-probe_2.0.deb\nSize: %s\n' "$(stat -c %s $dir/repo/laurel-probe_2.0.deb)"
        printf 'SHA256: %s\n' "$(sha256sum $dir/repo/laurel-probe_2.0.deb | cut -d' ' -f1)"
    } > $dir/repo/Packages
    echo "deb [trusted=yes] file:$dir/repo ./" > /etc/apt/sources.list.d/laurel-probe.list
    ;;
upgraded)
    found=$(dpkg-query --show --showformat '${Version}' laurel-probe)
    [ "$found" = 2.0 ] || { echo "laurel-probe is $found, expected 2.0: nothing was upgraded here" >&2; exit 1; }
    ;;
forget)
    rm -rf /etc/apt/sources.list.d/laurel-probe.list $dir
    dpkg --purge laurel-probe > /dev/null 2>&1 || true
    ;;
*)
    echo "older-package.sh: put, upgraded or forget" >&2
    exit 2
    ;;
esac
