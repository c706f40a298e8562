//! verifyArchive: checks that the WAL in an archive replays.

mod report;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use twowarm_core::archive::check_mark;
use twowarm_core::data_directory::{Role, identity, role_of};
use twowarm_core::node::{Caller, Install};
use twowarm_core::verify::{Verdict, VerifyArchive};

use self::report::{certificate, json, table};
use crate::command::{Command, Failure, ReadAgain, print};
use crate::exit_codes::{BAD_ARGUMENTS, DONE, ExitPolicy, FINDINGS, NOT_VERIFIED};
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};

/// verifyArchive as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "verifyArchive",
        arguments: "[DIR] [--json] [--certify]",
        summary: "checks that the WAL in an archive replays",
        description: "Reads every file of an archive and reports what is wrong: missing segments, segments of the wrong \
                size or of another cluster, records that are damaged or do not continue from one segment into the \
                next, missing or contradictory timeline histories, and files that do not belong there. Nothing is \
                changed. The archive may be in use.\n\n\
                Exit code 0 means that for each timeline all WAL from the first record in the archive to the last \
                one replays; --certify prints these positions. A record that the last segment only begins is not \
                included.",
        options: &[
            ("DIR", "The archive directory. Default: the archive of this node."),
            ("--json", "Print the result as one JSON object."),
            ("--certify", "If nothing is wrong, print from where to where WAL replays."),
        ],
        answers: &[
            (DONE, "All WAL in the archive replays."),
            (FINDINGS, "Something is wrong; it is printed."),
        ],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            ("ARCHIVE/.owner", "The cluster to which the archive belongs."),
        ],
        see_also: &["restoreWALFile(1)", "receiveWALFile(1)", "pg_waldump(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Check,
    misconfigured: Some(without_tree),
    run,
};

#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    directory: Option<PathBuf>,
    json: bool,
    certify: bool,
}

impl Request {
    fn parse(arguments: &[OsString]) -> Result<Request, String> {
        let mut request = Request::default();
        for argument in arguments {
            match argument.to_str() {
                Some("--json") => request.json = true,
                Some("--certify") => request.certify = true,
                Some(option) if option.starts_with('-') || option.is_empty() => {
                    return Err(format!("invalid argument: \"{option}\""));
                }
                _ if request.directory.is_some() => {
                    return Err("only one directory is accepted".into());
                }
                _ => request.directory = Some(argument.into()),
            }
        }
        Ok(request)
    }
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let request = Request::parse(arguments).map_err(Failure::Usage)?;
    let Some(directory) = &request.directory else {
        let archive = install.require_archive()?;
        check_mark(archive, &install.local_replication())?;
        let Some(pgdata) = &install.pgdata else {
            return verified(&request, &VerifyArchive::new(archive));
        };
        let verify = VerifyArchive::of_node(archive, pgdata)?;
        if !archive.exists() && identity(pgdata)?.is_some() && role_of(pgdata)? == Role::Primary {
            return Err(Failure::Failed(no_archive(install, archive).into()));
        }
        return verified(&request, &verify);
    };
    verified(&request, &VerifyArchive::new(directory))
}

/// A primary that was never a standby has no archive.
fn no_archive(install: &Install, archive: &Path) -> String {
    let archive = archive.display();
    let hint = match &install.other_node {
        Some(node) => format!("its WAL is archived on {node}. HINT: run verifyArchive there"),
        None => "it archives on the standby. HINT: run verifyArchive there".to_owned(),
    };
    format!("this node is a primary and has no archive (\"{archive}\" does not exist): {hint}")
}

/// A named directory can be checked on a machine without a 2warm tree.
fn without_tree(arguments: &[OsString], _why: &str, _read_again: ReadAgain<'_>) -> Option<u8> {
    let request = match Request::parse(arguments) {
        Ok(request) => request,
        Err(problem) => {
            log::error!("{problem}");
            return Some(BAD_ARGUMENTS);
        }
    };
    let verify = VerifyArchive::new(request.directory.clone()?);
    Some(match verified(&request, &verify) {
        Ok(code) => code,
        Err(Failure::Usage(why)) => {
            log::error!("{why}");
            BAD_ARGUMENTS
        }
        Err(Failure::Failed(error)) => {
            log::error!("{error}");
            NOT_VERIFIED
        }
    })
}

fn verified(request: &Request, verify: &VerifyArchive) -> Result<u8, Failure> {
    let verdict = with_bar(verify)?;
    print(&text(request, &verify.archive, &verdict));
    Ok(if verdict.is_sound() { DONE } else { FINDINGS })
}

fn text(request: &Request, archive: &Path, verdict: &Verdict) -> String {
    if request.json {
        return json(archive, verdict);
    }
    let mut text = table(archive, verdict);
    if request.certify {
        text += &certificate(verdict);
    }
    text
}

/// Verifies the archive, with a progress bar on a terminal.
fn with_bar(verify: &VerifyArchive) -> Result<Verdict, Failure> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    let style = "{elapsed_precise} [{wide_bar}] {pos} of {len} segments";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    if std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    let verdict = verify.run(&mut |progress| {
        bar.set_length(progress.segments as u64);
        bar.set_position(progress.checked as u64);
    });
    bar.finish_and_clear();
    Ok(verdict?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::arguments;

    #[test]
    fn arguments_in_any_order() {
        let parse = |words: &[&str]| Request::parse(&arguments(words));
        assert_eq!(parse(&[]), Ok(Request::default()));
        let all = Request { directory: Some("/a".into()), json: true, certify: true };
        assert_eq!(parse(&["--certify", "/a", "--json"]), Ok(all));
        assert_eq!(parse(&["/a", "/b"]), Err("only one directory is accepted".into()));
        assert_eq!(parse(&["--jsn"]), Err("invalid argument: \"--jsn\"".into()));
        assert!(parse(&[""]).is_err());
    }
}
