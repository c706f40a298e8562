//! An archive whose file system hangs in the kernel, so that not even SIGKILL ends a call: a frozen loop mount.
//! This needs root and a loop device. Without them these tests print a notice and check nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{LIMIT, Scratch, wait_until};

/// A mounted file system that holds the archive of a scratch data directory.
struct Disk {
    at: PathBuf,
}

fn done(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> bool {
    let mut command = Command::new(program);
    arguments.iter().for_each(|argument| {
        command.arg(argument);
    });
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let status = command.env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

impl Disk {
    fn mount(scratch: &Scratch) -> Option<Disk> {
        let image = scratch.data().join("image");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let at = scratch.data().join("disk");
        fs::create_dir(&at).unwrap();
        let mounted =
            done("mkfs.ext4", &[&"-q", &image]) && done("mount", &[&"-o", &"loop", &image, &at]);
        if !mounted {
            eprintln!("not checked: no file system could be mounted on a loop device here");
            return None;
        }
        let archive = scratch.data().join("archive");
        fs::remove_dir_all(&archive).unwrap();
        symlink(&at, archive).unwrap();
        Some(Disk { at })
    }

    fn freeze(&self) {
        assert!(done("fsfreeze", &[&"-f", &self.at]));
    }

    fn thaw(&self) {
        assert!(done("fsfreeze", &[&"-u", &self.at]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        done("fsfreeze", &[&"-u", &self.at]);
        let unmounted = || done("umount", &[&self.at]);
        let _ = wait_until("the disk to be free", LIMIT, unmounted);
    }
}

/// Makes a call and waits until its output is closed too; returns exit code and output.
fn ends(scratch: &Scratch, arguments: &[&str]) -> (Option<i32>, String) {
    let output = scratch.command_with(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Regression: no trigger was seen while old segments were being removed.
#[test]
fn the_answer_does_not_wait_for_pruning() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::mount(&scratch) else { return };
    (0..4).for_each(|number| scratch.ship(number));
    let target = "pg_wal/RECOVERYXLOG";
    disk.freeze();
    let (code, said) = ends(&scratch, &[scratch.name(2), target, scratch.name(1)]);
    assert_eq!(code, Some(0), "{said}");
    assert!(scratch.restored().as_deref() == Some(scratch.bytes(2)));
    scratch.write("trigger", "smart");
    let (code, said) = ends(&scratch, &[scratch.name(3), target, scratch.name(1)]);
    assert_eq!(code, Some(0), "{said}");
    disk.thaw();
    let pruned = || !Path::new(&scratch.archived(scratch.name(0))).exists();
    wait_until("the child process to end", LIMIT, pruned).unwrap();
}

/// Regression: the call reported the segment as absent, but its process could not end.
#[test]
fn a_call_that_hangs_in_the_kernel_is_left_behind() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::mount(&scratch) else { return };
    scratch.write_local("2warm.toml", "time_limit = 1\n");
    // This content is not the segment, so it is renamed, and that hangs.
    scratch.put_old(scratch.name(1), scratch.bytes(2));
    disk.freeze();
    scratch.write("trigger", "smart");
    let (code, said) = ends(&scratch, &[scratch.name(1), "pg_wal/RECOVERYXLOG"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("treated as"), "{said}");
    disk.thaw();
}

/// Regression: a restored segment was reported as absent because its copy in the archive could not be made.
#[test]
fn a_damaged_segment_is_restored_from_an_archive_that_takes_no_writes() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::mount(&scratch) else { return };
    scratch.write_local("2warm.toml", "time_limit = 2\n");
    scratch.put_old(scratch.name(1), &scratch.bytes(1)[..300_000]);
    disk.freeze();
    scratch.write("trigger", "smart");
    let (code, said) = ends(&scratch, &[scratch.name(1), "pg_wal/RECOVERYXLOG"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(scratch.restored().unwrap().starts_with(&scratch.bytes(1)[..300_000]));
    disk.thaw();
    let kept = scratch.archived(&format!("{}.corrupt", scratch.name(1)));
    wait_until("the copy to be kept", LIMIT, || kept.exists()).unwrap();
}

/// Without a trigger the call waits, and it obeys a trigger that comes while it hangs.
#[test]
fn a_trigger_is_seen_while_a_call_hangs_in_the_kernel() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::mount(&scratch) else { return };
    scratch.write_local("2warm.toml", "time_limit = 1\n");
    scratch.put_old(scratch.name(1), scratch.bytes(2));
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("is not 0000");
    disk.freeze();
    scratch.write("trigger", "smart");
    call.exits(1);
    disk.thaw();
}
