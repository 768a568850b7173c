//! What this machine has to offer, read from the system once.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::{bind, limits, sys};

/// What a plan is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The hard limit on open files of this process: what the soft one is raised to.
    pub(crate) files_limit: u64,
    /// Files that this process has open already.
    pub(crate) files_open: u64,
    /// What the hard limit can be at most (fs.nr_open).
    pub(crate) files_most: u64,
    /// Bytes of memory that can be had, the limits of the control group included; `None` if nobody tells.
    pub(crate) memory: Option<u64>,
    /// Ports for connections from one address to one listener.
    pub(crate) ports: u64,
    /// How long a port stays taken after a connection to this machine, and to another one.
    pub(crate) port_rest: PortRest,
    pub(crate) cores: u64,
    /// What is wrong with the addresses of `--bind`, in words.
    pub(crate) foreign_sources: Option<String>,
}

/// How long a port stays taken after its connection (TIME_WAIT), by where it led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortRest {
    pub(crate) loopback: Duration,
    pub(crate) elsewhere: Duration,
}

impl Machine {
    /// The machine as it is. Each of `sources` is tried once; nothing is sent.
    pub(crate) fn read(sources: &[IpAddr]) -> Machine {
        let root = Path::new("/");
        let (_, files_limit) = sys::open_files().unwrap_or((1024, 1024)); // what POSIX systems start with
        let open = fs::read_dir(root.join("proc/self/fd")).map_or(16, Iterator::count);
        Machine {
            files_limit,
            // The folder itself is one of them while it is read.
            files_open: (open as u64).saturating_sub(1),
            files_most: number(root, "proc/sys/fs/nr_open").unwrap_or(1 << 20),
            memory: memory(root),
            ports: ports(root),
            port_rest: port_rest(root),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            foreign_sources: bind::check_local(sources).err(),
        }
    }
}

/// Memory that can be had: what the kernel calls available, or less where a control group allows less.
fn memory(root: &Path) -> Option<u64> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).ok();
    let available = meminfo.and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let allowed = groups.lines().filter_map(|line| left_in_groups(root, line)).min();
    [available.map(|kilobytes| kilobytes * 1024), allowed].into_iter().flatten().min()
}

/// What the control groups of one line of `/proc/self/cgroup` leave, its ancestors' limits included.
fn left_in_groups(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (mounts, names): (&[&str], _) = match controllers {
        "" => (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], &VERSION_2),
        _ if controllers.split(',').any(|name| name == "memory") => (&["sys/fs/cgroup/memory"], &VERSION_1),
        _ => return None,
    };
    let path = Path::new(path.trim_start_matches('/'));
    // Inside a container the path may be the host's: then only its ancestor, the mount itself, is found.
    let folders =
        mounts.iter().flat_map(|mount| path.ancestors().map(move |part| root.join(mount).join(part)));
    folders.filter_map(|folder| left_in_group(&folder, names)).min()
}

fn left_in_group(folder: &Path, names: &Names) -> Option<u64> {
    let limit = number(folder, names.limit)?; // `max` is no number: no limit
    let used = number(folder, names.usage)?;
    let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    // Cached files that nobody reads are given back before anyone is refused.
    let cached = statistics.lines().find_map(|line| {
        let value = line.strip_prefix(names.cached)?.strip_prefix(' ')?;
        value.trim().parse::<u64>().ok()
    });
    Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

fn ports(root: &Path) -> u64 {
    let read = |name: &str| fs::read_to_string(root.join("proc/sys/net/ipv4").join(name)).unwrap_or_default();
    // Linux' own default, where the file cannot be read.
    bind::ports(&read("ip_local_port_range"), &read("ip_local_reserved_ports")).unwrap_or(28_232)
}

/// `tcp_tw_reuse` 1: a port may be taken again soon; 2, the default: only for connections to this machine.
fn port_rest(root: &Path) -> PortRest {
    let of = |name: &str| number(&root.join("proc/sys/net/ipv4"), name);
    let soon = Duration::from_millis(of("tcp_tw_reuse_delay").unwrap_or(1000));
    let (loopback, elsewhere) = match of("tcp_tw_reuse") {
        Some(1) => (soon, soon),
        Some(2) => (soon, limits::TIME_WAIT),
        _ => (limits::TIME_WAIT, limits::TIME_WAIT),
    };
    PortRest { loopback, elsewhere }
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}

/// What the files of a control group are called.
struct Names {
    limit: &'static str,
    usage: &'static str,
    cached: &'static str,
}

const VERSION_2: Names = Names { limit: "memory.max", usage: "memory.current", cached: "inactive_file" };
const VERSION_1: Names =
    Names { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cached: "total_inactive_file" };

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, text).expect("written");
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    8000 kB\n");

    #[test]
    fn memory_is_what_the_tightest_limit_leaves() {
        let check = |files: &[(&str, &str)], expected: Option<u64>| {
            assert_eq!(memory(machine(files).path()), expected, "{files:?}");
        };
        check(&[], None);
        check(&[MEMINFO], Some(8_192_000));
        let group = ("proc/self/cgroup", "0::/a/b\n");
        check(
            &[
                MEMINFO,
                group,
                ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ("sys/fs/cgroup/a/b/memory.current", "100\n"),
                ("sys/fs/cgroup/a/memory.max", "5000\n"),
                ("sys/fs/cgroup/a/memory.current", "3000\n"),
                ("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 500\n"),
            ],
            Some(2500),
        );
        // A container that sees its own group at the mount, under the host's name for it.
        check(
            &[
                MEMINFO,
                ("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/x\n0::/\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "9000\n"),
                ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 2500\n"),
            ],
            Some(500),
        );
        check(
            &[
                MEMINFO,
                group,
                ("sys/fs/cgroup/a/memory.max", "9223372036854771712\n"),
                ("sys/fs/cgroup/a/memory.current", "3000\n"),
            ],
            Some(8_192_000),
        );
    }

    #[test]
    fn ports_rest_as_the_kernel_is_set() {
        let check = |reuse: &str, loopback: u64, elsewhere: u64| {
            let root = machine(&[("proc/sys/net/ipv4/tcp_tw_reuse", reuse)]);
            let rest = port_rest(root.path());
            assert_eq!((rest.loopback.as_secs(), rest.elsewhere.as_secs()), (loopback, elsewhere), "{reuse}");
        };
        check("0\n", 60, 60);
        check("1\n", 1, 1);
        check("2\n", 1, 60);
        let root = machine(&[("proc/sys/net/ipv4/ip_local_port_range", "1000 1099\n")]);
        assert_eq!((ports(root.path()), ports(Path::new("/nowhere"))), (100, 28_232));
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = Machine::read(&[IpAddr::from([127, 0, 7, 7])]);
        assert!(machine.files_open > 2 && machine.files_limit > machine.files_open);
        assert!(machine.memory.is_some_and(|memory| memory > 1 << 20));
        assert!(machine.ports > 0 && machine.cores > 0 && machine.foreign_sources.is_none());
        let foreign = Machine::read(&[IpAddr::from([203, 0, 113, 7])]);
        assert!(foreign.foreign_sources.is_some_and(|words| words.contains("203.0.113.7")));
    }
}
