use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::archive::{Archive, COMMAND};

/// Kind and file of each line in the table.
fn table(archive: &Archive) -> BTreeSet<(String, String)> {
    let output = archive.verify(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (summary, findings) = lines.split_last().unwrap();
    assert!(summary.contains(&format!("{} findings", findings.len())), "{text}");
    let word = |line: &str, n| line.split_whitespace().nth(n).unwrap().to_owned();
    findings.iter().map(|line| (word(line, 0), word(line, 1))).collect()
}

#[test]
fn every_planted_damage_among_200_segments_is_found_and_nothing_else() {
    let archive = Archive::of_200_segments();
    let sound = archive.verify(&["--certify"]);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    let said = String::from_utf8(sound.stdout).unwrap();
    let (first, last) = (&archive.names[0], archive.names.last().unwrap());
    let count = archive.names.len();
    assert!(said.contains("nothing is wrong"), "{said}");
    assert!(said.contains(&format!("({count} segments, {first} to {last})")), "{said}");

    let mut planted = BTreeSet::new();
    let mut plant = |kind: &str, file: &str| planted.insert((kind.to_owned(), file.to_owned()));
    let name = |number: usize| archive.names[number].as_str();
    fs::remove_file(archive.file(name(10))).unwrap();
    plant("gap", name(10));
    for number in 20..23 {
        fs::remove_file(archive.file(name(number))).unwrap();
    }
    plant("gap", name(20));
    let content = fs::read(archive.file(name(30))).unwrap();
    fs::write(archive.file(name(30)), &content[..content.len() - 8192]).unwrap();
    plant("wrong-size", name(30));
    archive.flip(name(40), 24);
    plant("other-cluster", name(40));
    fs::copy(archive.file(name(49)), archive.file(name(50))).unwrap();
    plant("not-the-segment", name(50));
    for (number, at) in [(60, 500_000), (61, 500_000), (70, 16 * 8192 + 9), (80, 900_000)] {
        archive.flip(name(number), at);
        plant("damaged", name(number));
    }
    let half = fs::read(archive.file(name(90))).unwrap();
    fs::write(archive.file(name(90)), [&half[..1 << 19], &vec![0; 1 << 19]].concat()).unwrap();
    plant("incomplete", name(90));
    let crossing =
        (100..190).filter(|&number| (200..100_000).contains(&archive.missing(name(number))));
    let crossing: Vec<usize> = crossing.step_by(5).take(5).collect();
    for &number in &crossing {
        archive.flip(name(number), 140);
        plant("not-continued", name(number));
    }
    assert_eq!(crossing.len(), 5);
    // The segment in the middle of the longest record, whose checksum is compared where it ends.
    let long = |&number: &usize| archive.missing(name(number)) > 1 << 20;
    let within: Vec<usize> = (190..count).filter(long).collect();
    assert!(within.len() >= 2, "{within:?}");
    archive.flip(name(within[0]), 600_000);
    plant("not-continued", name(within.last().unwrap() + 1));
    for stray in ["core", &format!("{}.corrupt", name(5)), &format!("{}.foreign", name(6))] {
        fs::write(archive.file(stray), "x").unwrap();
        plant("stray", stray);
    }
    let fork = "0/F000028";
    for (file, content) in [
        ("00000002.history", format!("1\t{fork}\tx\n")),
        ("00000003.history", "1\t0/E000028\tx\n2\t0/F100028\tx\n".into()),
        ("00000006.history", format!("1\t{fork}\tx\n5\t0/F200028\tx\n")),
        ("00000009.history", "nonsense\n".into()),
    ] {
        fs::write(archive.file(file), content).unwrap();
    }
    plant("histories-disagree", "00000003.history");
    plant("missing-history", "00000005.history");
    plant("bad-history", "00000009.history");
    let backup = format!("{}.00000028.backup", name(3));
    fs::write(archive.file(&backup), "START WAL").unwrap();
    plant("bad-backup-file", &backup);

    assert_eq!(table(&archive), planted);
    let json = archive.verify(&["--json", "--certify"]);
    assert_eq!(json.status.code(), Some(1));
    let json = String::from_utf8(json.stdout).unwrap();
    assert!(json.contains("\"sound\":false") && json.contains("\"replays\":[]"), "{json}");
    for (kind, file) in &planted {
        let finding = format!("{{\"kind\":\"{kind}\",\"file\":\"{file}\",\"detail\":\"");
        assert!(json.contains(&finding), "{finding}: {json}");
    }
    let certificate = String::from_utf8(archive.verify(&["--certify"]).stdout).unwrap();
    assert!(certificate.contains("Not certified"), "{certificate}");
}

/// Exit code 1 says that the archive was read and something is wrong in it; a failure is 2.
#[test]
fn an_archive_that_cannot_be_read_is_not_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("archive");
    for arguments in [vec![missing.to_str().unwrap()], vec!["--nonsense"], vec![]] {
        let output = Command::new(COMMAND).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
    }
    fs::create_dir(&missing).unwrap();
    let empty = Command::new(COMMAND).arg(&missing).output().unwrap();
    assert_eq!(empty.status.code(), Some(1), "{empty:?}");
}
