#!/bin/busybox sh
# First process under Debian's kernel: this machine's files below, what is written on the scratch disk above.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do $b insmod "$module"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 root /lower
$b mount -t ext4 /dev/vda /scratch

# The disk came with the images of nodes, and none of this machine's labs.
$b mkdir /scratch/state
for image in /scratch/*; do
  case ${image##*/} in lost+found | state) ;; *) images="$images $image" ;; esac
done
$b mkdir /scratch/state/images /scratch/upper /scratch/work
$b mv $images /scratch/state/images

$b mount -t overlay -o lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work root /new
for folder in proc sys dev; do $b mount --move /$folder /new/$folder; done
$b mkdir -p /new/dev/pts /new/dev/shm /new/lib/modules /new/var/lib/foundation-testbed
$b mount -t devpts -o gid=5,mode=620 devpts /new/dev/pts
$b mount -t tmpfs tmpfs /new/dev/shm
$b mount -t tmpfs tmpfs /new/run
$b mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
$b mount --bind /scratch/state /new/var/lib/foundation-testbed
$b mount --bind "/new$($b cat /kernel)/lib/modules" /new/lib/modules
$b mkdir /new/run/lock
$b cp /job /new/run/

# The kernel calls for modules from here, not from the new root.
$b mkdir /lib
$b ln -s /new/lib/modules /lib/modules
$b ln -s busybox /bin/modprobe
echo /bin/modprobe > /new/proc/sys/kernel/modprobe
$b ip link set lo up
$b chroot /new /bin/bash /run/job > /new/dev/hvc0 2>&1 < /new/dev/null
echo "exit status $?" > /new/dev/hvc0
$b sleep 1
$b poweroff -f
