//! The CPU quota of the control group, version 1 or 2.
//!
//! `/proc/self/cgroup` says in which group the process is, per hierarchy; `/proc/self/mountinfo` says where a hierarchy is mounted and which
//! part of it is visible there. The group's directory is the mount point plus what the group's path has beyond the mounted part.
//!
//! Go reads the innermost group only. A quota of any group above it binds as well (a pod's above its container's), so this one walks up to
//! the mount point and takes the tightest. A hierarchy that is mounted several times shows the same groups everywhere, so all mounts are
//! read and no choice among them can be wrong.
//!
//! Absent files mean "no quota" (the root group has none; the controller may be off). Unreadable contents are an error that names file and
//! contents; what to make of it is the caller's business.
//!
//! Source: cgroups(7), proc_pid_mountinfo(5); Go `internal/runtime/cgroup`.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// Which interface a hierarchy has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    V1,
    V2,
}

/// The CPU quota in processors (1.5 = one and a half), `None` if there is no limit. `root` is `/`, or a directory that stands for it.
///
/// # Errors
/// A file that exists but cannot be read or understood.
pub(crate) fn quota_under(root: &Path) -> io::Result<Option<f64>> {
    let Some(groups) = read(&root.join("proc/self/cgroup"))? else { return Ok(None) };
    let Some(mounts) = read(&root.join("proc/self/mountinfo"))? else { return Ok(None) };
    let mut tightest: Option<f64> = None;
    for (version, group) in lines(&groups).filter_map(parse_group) {
        for (mounted_part, mount_point) in lines(&mounts).filter_map(|line| parse_mount(line, version)) {
            let Ok(beyond) = Path::new(OsStr::from_bytes(group)).strip_prefix(&mounted_part) else { continue };
            // The group lies outside of what this mount shows.
            if beyond.components().any(|part| part == Component::ParentDir) {
                continue;
            }
            let top = below(root, &mount_point);
            let innermost = top.join(beyond);
            for directory in innermost.ancestors().take_while(|directory| directory.starts_with(&top)) {
                if let Some(quota) = quota_of(directory, version)? {
                    tightest = Some(tightest.map_or(quota, |known| known.min(quota)));
                }
            }
        }
    }
    Ok(tightest)
}

/// `4:cpu,cpuacct:/path` (version 1, with our controller) or `0::/path` (version 2).
fn parse_group(line: &[u8]) -> Option<(Version, &[u8])> {
    let mut fields = line.splitn(3, |&byte| byte == b':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    if hierarchy == b"0" && controllers.is_empty() {
        Some((Version::V2, path))
    } else if has_cpu(controllers) {
        Some((Version::V1, path))
    } else {
        None
    }
}

/// `31 23 0:28 /mounted/part /mount/point rw,relatime [optional ...] - cgroup cgroup rw,cpu`, if it is of that version and has our controller.
fn parse_mount(line: &[u8], version: Version) -> Option<(PathBuf, PathBuf)> {
    let mut fields = line.split(|&byte| byte == b' ');
    let (mounted_part, mount_point) = (fields.nth(3)?, fields.next()?);
    let mut after_dash = fields.skip_while(|&field| field != b"-").skip(1);
    let (kind, _device, options) = (after_dash.next()?, after_dash.next()?, after_dash.next()?);
    let ours = match version {
        Version::V1 => kind == b"cgroup" && has_cpu(options),
        Version::V2 => kind == b"cgroup2",
    };
    ours.then(|| (unescape(mounted_part), unescape(mount_point)))
}

fn has_cpu(list: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|entry| entry == b"cpu")
}

/// Space, tab, newline and backslash stand in mountinfo as three octal digits after a backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if byte == b'\\' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

fn quota_of(group: &Path, version: Version) -> io::Result<Option<f64>> {
    match version {
        Version::V1 => {
            let quota_file = group.join("cpu.cfs_quota_us");
            let period_file = group.join("cpu.cfs_period_us");
            let (Some(quota), Some(period)) = (read(&quota_file)?, read(&period_file)?) else { return Ok(None) };
            match number(quota.trim_ascii()) {
                Some(quota_us) if quota_us < 0 => Ok(None),
                Some(quota_us) if quota_us > 0 => match number(period.trim_ascii()) {
                    Some(period_us) if period_us > 0 => Ok(Some(quota_us as f64 / period_us as f64)),
                    _ => Err(garbage(&period_file, &period, "a number of microseconds above 0")),
                },
                _ => Err(garbage(&quota_file, &quota, "a number of microseconds above 0, or -1")),
            }
        }
        Version::V2 => {
            let file = group.join("cpu.max");
            let Some(text) = read(&file)? else { return Ok(None) };
            let mut words = text.trim_ascii().split(|&byte| byte == b' ');
            let numbers = match (words.next(), words.next(), words.next()) {
                (Some(b"max"), _, None) => return Ok(None),
                (Some(quota), Some(period), None) => number(quota).zip(number(period)),
                _ => None,
            };
            match numbers {
                Some((quota_us, period_us)) if quota_us > 0 && period_us > 0 => {
                    Ok(Some(quota_us as f64 / period_us as f64))
                }
                _ => Err(garbage(&file, &text, "\"max PERIOD\" or \"QUOTA PERIOD\", in microseconds")),
            }
        }
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn garbage(file: &Path, contents: &[u8], expected: &str) -> io::Error {
    let contents = String::from_utf8_lossy(&contents[..contents.len().min(80)]).into_owned();
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("cannot read the CPU quota: {} holds {contents:?} (expected {expected})", file.display()),
    )
}

/// The contents of a file, `None` if there is no such file.
fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(file) {
        Ok(contents) => Ok(Some(contents)),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(cause) => {
            Err(io::Error::new(cause.kind(), format!("cannot read the CPU quota: {}: {cause}", file.display())))
        }
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
}

/// `absolute` as seen from `root`.
fn below(root: &Path, absolute: &Path) -> PathBuf {
    root.join(absolute.strip_prefix("/").unwrap_or(absolute))
}
