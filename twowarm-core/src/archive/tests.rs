use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::retry::Retryable;
#[cfg(feature = "server")]
use crate::wal::TimelineId;

fn archive() -> (tempfile::TempDir, Archive) {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    (dir, archive)
}

fn name(text: &str) -> WalFileName {
    text.parse().unwrap()
}

fn sender(system_identifier: u64, node_id: &str) -> Binding {
    let label = format!("host of {node_id}");
    Binding {
        system_identifier,
        node_id: node_id.parse().unwrap(),
        label,
        machine: None,
        timeline: None,
        former: None,
    }
}

#[test]
fn a_missing_directory_is_an_error_and_is_not_created() {
    let (dir, archive) = archive();
    let path = dir.path().to_owned();
    drop(dir);
    assert!(matches!(Archive::open(&path), Err(ArchiveError::Missing(_))));
    let one = name("00000001.history");
    assert!(matches!(archive.find(one), Err(ArchiveError::Missing(_))));
    assert!(matches!(archive.binding(), Err(ArchiveError::Missing(_))));
    assert!(matches!(archive.put(one, b"x"), Err(ArchiveError::Missing(_))));
    assert!(!path.exists());
}

#[test]
fn the_same_file_again_is_accepted_and_another_is_refused() {
    let (_dir, archive) = archive();
    let one = name("00000002.history");
    assert!(archive.find(one).unwrap().is_none());
    assert_eq!(archive.put(one, b"one").unwrap(), Stored::New);
    assert_eq!(archive.put(one, b"one").unwrap(), Stored::AlreadyThere);
    for other in [b"two".as_slice(), b"on", b"ones", b""] {
        assert!(matches!(archive.put(one, other), Err(ArchiveError::Conflict(_))));
    }
    assert_eq!(archive.read(one).unwrap().unwrap(), b"one");
    assert_eq!(fs::read_dir(archive.incoming_directory()).unwrap().count(), 0);
    let mode = fs::metadata(archive.incoming_directory()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn files_of_interrupted_writers_are_removed_with_the_next_file() {
    let (_dir, archive) = archive();
    archive.put(name("00000002.history"), b"one").unwrap();
    fs::write(archive.incoming_directory().join("left.1-1.tmp"), b"half").unwrap();
    let unfinished = archive.begin("unfinished").unwrap();
    assert_eq!(fs::read_dir(archive.incoming_directory()).unwrap().count(), 1);
    drop(unfinished);
    assert_eq!(fs::read_dir(archive.incoming_directory()).unwrap().count(), 0);
}

#[test]
fn only_wal_files_are_listed() {
    let (dir, archive) = archive();
    for file in ["000000010000000000000002", "00000002.history", ".owner", "README", "x.tmp"] {
        fs::write(dir.path().join(file), b"").unwrap();
    }
    archive.probe().unwrap();
    let listed: Vec<String> = archive.names().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["000000010000000000000002", "00000002.history"]);
    archive.remove(name("00000002.history")).unwrap();
    archive.remove(name("00000002.history")).unwrap();
    assert_eq!(archive.names().unwrap().len(), 1);
}

#[test]
fn an_archive_is_bound_to_one_sender() {
    let (_dir, archive) = archive();
    let first = sender(7, "aaaa");
    archive.check_sender(&sender(8, "bbbb"), Machines::One).unwrap();
    archive.bind(&first, Machines::One).unwrap();
    archive.bind(&first, Machines::One).unwrap();
    assert_eq!(archive.binding().unwrap(), Some(first.clone()));
    let relabelled = Binding { label: "new name".into(), ..first };
    archive.check_sender(&relabelled, Machines::One).unwrap();
    let error = archive.bind(&sender(7, "bbbb"), Machines::One).unwrap_err().to_string();
    assert!(error.contains("host of aaaa") && error.contains("configStandby"), "{error}");
    assert!(matches!(
        archive.bind(&sender(8, "aaaa"), Machines::One),
        Err(ArchiveError::AnotherCluster { .. })
    ));
    archive.unbind().unwrap();
    archive.bind(&sender(8, "bbbb"), Machines::One).unwrap();
}

/// After a rejoin the archive accepted the WAL of any node that was promoted to the same timeline, beside what the first
/// one had shipped.
#[cfg(feature = "server")]
#[test]
fn a_sender_of_a_later_timeline_stays_bound() {
    let (_dir, archive) = archive();
    let on = |number| TimelineId::new(number).ok();
    archive.unbind_earlier(TimelineId::FIRST).unwrap();
    for (shipped, stays) in [(None, false), (on(1), false), (on(2), false), (on(3), true)] {
        archive.bind(&Binding { timeline: shipped, ..sender(7, "aaaa") }, Machines::One).unwrap();
        archive.unbind_earlier(TimelineId::new(2).unwrap()).unwrap();
        assert_eq!(archive.binding().unwrap().is_some(), stays, "{shipped:?}");
    }
    archive.bind(&sender(7, "bbbb"), Machines::One).unwrap_err();
}

/// A primary that was copied to another machine together with its 2warm tree had the same identity: its
/// segment was stored and replayed.
#[test]
fn an_archive_is_bound_to_one_machine() {
    let (_dir, archive) = archive();
    let on = |machine: &str| Binding { machine: machine.parse().ok(), ..sender(7, "aaaa") };
    archive.bind(&on("one"), Machines::One).unwrap();
    archive.bind(&on("one"), Machines::One).unwrap();
    for refused in
        [archive.check_sender(&on("two"), Machines::One), archive.bind(&on("two"), Machines::One)]
    {
        let error = refused.unwrap_err();
        assert!(matches!(error, ArchiveError::AnotherMachine { .. }) && !error.is_retryable());
        for word in ["one", "two", "host of aaaa", "clone", "configStandby", "any_machine"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
    archive.check_sender(&on("two"), Machines::Any).unwrap();
    archive.bind(&on("two"), Machines::Any).unwrap();
    // A sender that sends no machine (an earlier version, a machine without an id) is accepted.
    archive.bind(&on(""), Machines::One).unwrap();
    assert_eq!(archive.binding().unwrap(), Some(on("one")));
}

#[test]
fn a_binding_of_an_earlier_version_gets_the_machine() {
    let (dir, archive) = archive();
    let on = |machine: &str| Binding { machine: machine.parse().ok(), ..sender(7, "aaaa") };
    let old = "version=1\nsystem_identifier=7\nnode_id=aaaa\nlabel=host of aaaa\n";
    fs::write(dir.path().join(".owner"), old).unwrap();
    archive.check_sender(&on("one"), Machines::One).unwrap();
    assert_eq!(archive.binding().unwrap(), Some(on("")));
    archive.bind(&on(""), Machines::One).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(".owner")).unwrap(), old);
    let bound: Vec<bool> = std::thread::scope(|scope| {
        let bind = |n| {
            let (archive, sender) = (&archive, on(&format!("machine-{n}")));
            scope.spawn(move || archive.bind(&sender, Machines::One).is_ok())
        };
        let threads: Vec<_> = (0..8).map(bind).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(bound.iter().filter(|ok| **ok).count(), 1);
    // An earlier version reads only the lines that it knows.
    let text = fs::read_to_string(dir.path().join(".owner")).unwrap();
    assert!(text.starts_with(old) && text[old.len()..].starts_with("machine=machine-"), "{text}");
}

#[test]
fn one_of_many_concurrent_senders_is_bound() {
    let (_dir, archive) = archive();
    let bound: Vec<bool> = std::thread::scope(|scope| {
        let bind = |n| {
            let archive = &archive;
            scope.spawn(move || {
                archive.bind(&sender(7, &format!("node-{n}")), Machines::One).is_ok()
            })
        };
        let threads: Vec<_> = (0..8).map(bind).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(bound.iter().filter(|ok| **ok).count(), 1);
}

/// A file was removed as interrupted that its writer had created but not locked yet.
#[test]
fn concurrent_writers_do_not_remove_each_others_files() {
    let (_dir, archive) = archive();
    std::thread::scope(|scope| {
        for n in 0..8u32 {
            let archive = &archive;
            scope.spawn(move || {
                for turn in 1..50 {
                    let name = name(&format!("{:08X}.history", n * 100 + turn));
                    assert_eq!(archive.put(name, b"x").unwrap(), Stored::New);
                }
            });
        }
    });
    assert_eq!(archive.names().unwrap().len(), 8 * 49);
}

#[test]
fn an_owner_file_is_parsed_strictly() {
    for bad in ["", "version=2\n", "version=1\nsystem_identifier=x\nnode_id=a\nlabel=b\n"] {
        assert!(bad.parse::<Binding>().is_err(), "{bad:?}");
    }
    for id in ["", " ", "a b", "\r\r\r\r\r\r\r\r", "a\r", &"a".repeat(65)] {
        for machine in ["", "machine=m\n"] {
            let text = format!("version=1\nsystem_identifier=1\nnode_id={id}\nlabel=b\n{machine}");
            assert!(text.parse::<Binding>().is_err(), "{text:?}");
        }
    }
    let bad = "version=1\nsystem_identifier=1\nnode_id=a\nlabel=b\nmachine=a b\n";
    assert!(bad.parse::<Binding>().is_err());
    let strange = Binding { label: "a\nb".into(), ..sender(1, "aaaa") };
    assert_eq!(strange.to_string().parse::<Binding>().unwrap().label, "a b");
}
