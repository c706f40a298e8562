use std::process::{Command, Stdio};

/// How the server of this node is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartServer {
    /// A program and its arguments; empty if the administrator starts it.
    pub command: Vec<String>,
}

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not start the server by \"{program}\": {why}. HINT: see the server's log, and start it"
)]
pub struct NotStarted {
    /// The program.
    pub program: String,
    /// Why.
    pub why: String,
}

impl StartServer {
    /// Runs the command; `false` if there is none. It must return when the server has been started.
    ///
    /// # Errors
    /// If it can't be run, or fails.
    pub fn run(&self) -> Result<bool, NotStarted> {
        let Some((program, arguments)) = self.command.split_first() else { return Ok(false) };
        let failed = |why: String| NotStarted { program: program.clone(), why };
        // The server must not keep this command's output open.
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().map_err(|e| failed(e.to_string()))?;
        if status.success() { Ok(true) } else { Err(failed(status.to_string())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_whether_it_was_started() {
        let run = |words: &[&str]| {
            StartServer { command: words.iter().map(|word| (*word).into()).collect() }.run()
        };
        assert!(!run(&[]).unwrap());
        assert!(run(&["sh", "-c", "exit 0"]).unwrap());
        for bad in [&["sh", "-c", "exit 3"][..], &["/nonexistent/program"]] {
            let error = run(bad).unwrap_err().to_string();
            assert!(error.contains(bad[0]), "{error}");
        }
    }
}
