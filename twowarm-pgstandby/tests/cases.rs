//! Compares pg_standby with the original programs, case by case.
//!
//! Each line of `data/*.jsonl` was recorded from one of the originals: the files before the run, the command line,
//! what happened during the run, and the exit status, the files and the streams written to after it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use twowarm_core::testbed::wait_until;

#[derive(Deserialize)]
struct Case {
    id: String,
    pgver: Option<String>,
    files: Vec<(String, String)>,
    env: BTreeMap<String, String>,
    argv: Vec<String>,
    actions: Vec<(f64, String, String, Option<String>)>,
    want: Outcome,
}

/// Actions have three or four parts. They are padded to four, since a tuple has a fixed length.
fn read_case(line: &str) -> Case {
    let mut value: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
    for action in value["actions"].as_array_mut().expect("a case has actions") {
        let parts = action.as_array_mut().expect("an action is a list");
        parts.resize(4, serde_json::Value::Null);
    }
    serde_json::from_value(value).expect("a case has these fields")
}

#[derive(Deserialize, Debug, PartialEq, Eq)]
struct Outcome {
    status: String,
    says: String,
    files: BTreeMap<String, String>,
}

/// A case that has not ended after this time never ends.
const LIMIT: Duration = Duration::from_secs(25);
/// How many cases run at the same time. They mostly wait.
const AT_ONCE: usize = 16;

#[test]
fn every_case_ends_as_the_original_ended() {
    let cases = read_cases("cases");
    assert_eq!(cases.len(), 404);
    assert_agree(cases);
}

/// Variations of these cases: unusual numbers and names, arithmetic at its limits, obstacles, signals at unusual
/// moments. They were recorded from programs modelled on the originals that agree with them in all other cases.
#[test]
fn every_variation_ends_as_the_original_ended() {
    assert_agree(read_cases("more"));
}

fn read_cases(kind: &str) -> Vec<Case> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut cases = Vec::new();
    for dialect in ["8.3", "8.4", "13", "2warm"] {
        let text = fs::read_to_string(data.join(format!("{kind}-{dialect}.jsonl"))).unwrap();
        cases.extend(text.lines().map(read_case));
    }
    cases
}

fn assert_agree(cases: Vec<Case>) {
    let left = Mutex::new(cases);
    let differ = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = { left.lock().unwrap().pop() } {
                    let got = run(&case);
                    if got != case.want {
                        let text = format!("{}: wanted {:?}, got {got:?}", case.id, case.want);
                        differ.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let differ = differ.into_inner().unwrap();
    assert!(differ.is_empty(), "{} cases differ:\n{}", differ.len(), differ.join("\n"));
}

fn run(case: &Case) -> Outcome {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    for directory in ["archive", "pg_wal"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    if let Some(version) = &case.pgver {
        fs::write(root.join("PG_VERSION"), format!("{version}\n")).unwrap();
    }
    for (path, spec) in &case.files {
        put(root, path, spec);
    }
    let started = Instant::now();
    // The parent of the tests may ignore signals (nohup does), and children inherit that.
    let mut child = Command::new("/usr/bin/env")
        .args(["--default-signal", env!("CARGO_BIN_EXE_pg_standby")])
        .args(case.argv.iter().map(|argument| argument.replace("{d}", root.to_str().unwrap())))
        .current_dir(root)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C")])
        .envs(&case.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let (status, said) = thread::scope(|scope| {
        let pid = child.id();
        scope.spawn(move || act(case, root, started, pid));
        let mut streams = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let out = scope.spawn(move || read_all(&mut streams.0));
        let err = scope.spawn(move || read_all(&mut streams.1));
        let status = wait(&mut child, started);
        (status, (out.join().unwrap(), err.join().unwrap()))
    });
    let says = match (said.0.is_empty(), said.1.is_empty()) {
        (true, true) => "nothing",
        (false, true) => "stdout",
        (true, false) => "stderr",
        (false, false) => "both",
    };
    let mut files = BTreeMap::new();
    list(root, root, &mut files);
    files.remove("PG_VERSION");
    Outcome { status: name_of(status), says: says.to_owned(), files }
}

/// Carries out a case's actions at their recorded times.
fn act(case: &Case, root: &Path, started: Instant, pid: u32) {
    for (at, kind, subject, spec) in &case.actions {
        let at = Duration::from_secs_f64(*at);
        thread::sleep(at.saturating_sub(started.elapsed()));
        match kind.as_str() {
            "put" => put(root, subject, spec.as_ref().unwrap()),
            "grow" => {
                let content = content(spec.as_ref().unwrap());
                let mut file = fs::File::create(root.join(subject)).unwrap();
                let (first, second) = content.split_at(content.len() / 2);
                file.write_all(first).unwrap();
                thread::sleep(Duration::from_millis(1500));
                file.write_all(second).unwrap();
            }
            "signal" => {
                let name = subject.trim_start_matches("SIG");
                // If it has already ended, the outcome shows that.
                let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).output();
                sent.expect("kill can be run");
            }
            other => panic!("{}: what is {other}?", case.id),
        }
    }
}

fn content(spec: &str) -> Vec<u8> {
    let (kind, rest) = spec.split_once(':').unwrap_or((spec, ""));
    match kind {
        "text" | "noread" => rest.as_bytes().to_vec(),
        "zero" => vec![0; rest.parse().unwrap()],
        "wal" => {
            let mut parts = rest.split(':');
            let magic = u16::from_str_radix(parts.next().unwrap(), 16).unwrap();
            let segment: u32 = parts.next().unwrap().parse().unwrap();
            let size: usize = parts.next().unwrap().parse().unwrap();
            let mut head = Vec::new();
            head.extend(magic.to_le_bytes());
            head.extend(2u16.to_le_bytes());
            head.extend(1u32.to_le_bytes());
            head.extend([0; 16]);
            head.extend(7u64.to_le_bytes());
            head.extend(segment.to_le_bytes());
            head.extend(8192u32.to_le_bytes());
            head.resize(size, 0);
            head
        }
        other => panic!("what is a file of {other}?"),
    }
}

fn put(root: &Path, path: &str, spec: &str) {
    let full = root.join(path);
    if spec == "dir" {
        fs::create_dir_all(full).unwrap();
        return;
    }
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    let aside = PathBuf::from(format!("{}.being-put", full.display()));
    fs::write(&aside, content(spec)).unwrap();
    if spec.starts_with("noread:") {
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o000)).unwrap();
    }
    fs::rename(aside, full).unwrap();
}

fn list(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let shown = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            let target = target.to_str().unwrap().replace(root.to_str().unwrap(), "{d}");
            files.insert(shown, format!("link to {target}"));
        } else if path.is_dir() {
            list(root, &path, files);
        } else {
            let text = match fs::read(&path) {
                Ok(bytes) => {
                    let digest = Sha256::digest(&bytes);
                    let hex: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
                    format!("{} bytes {hex}", bytes.len())
                }
                Err(_) => "unreadable".to_owned(),
            };
            files.insert(shown, text);
        }
    }
}

fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

fn wait(child: &mut Child, started: Instant) -> Option<ExitStatus> {
    let left = LIMIT.saturating_sub(started.elapsed());
    let ended = wait_until("the case to end", left, || child.try_wait().unwrap()).ok();
    if ended.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    ended
}

fn name_of(status: Option<ExitStatus>) -> String {
    match status {
        None => format!("still waiting after {} s", LIMIT.as_secs()),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, number) => {
                let signal = number.and_then(|number| Signal::try_from(number).ok());
                format!("signal {}", signal.map_or("unknown", Signal::as_str))
            }
        },
    }
}
