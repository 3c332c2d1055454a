//! Commands as people type them: in a shell, with the program on the path and a home of their own.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use super::{BURSAR, errors_of};

/// A shell in a folder, which is its home, too.
pub struct Shell {
    folder: PathBuf,
    /// What was typed before and holds for all that follows.
    exports: String,
}

/// A command that goes on until it is dropped.
pub struct Background {
    child: Child,
    log: PathBuf,
}

impl Shell {
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), exports: String::new() }
    }

    /// Has a line that begins with `export` hold for all that follows.
    pub fn export(&mut self, line: &str) {
        assert!(line.starts_with("export "), "{line}");
        self.exports += &format!("{line}\n");
    }

    /// Runs a line to its end.
    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("a shell starts")
    }

    /// What a line prints, which must end well.
    pub fn prints(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "`{line}` ended with {}: {}", output.status, errors_of(&output));
        String::from_utf8(output.stdout).expect("the program prints text")
    }

    /// Starts a line that goes on; all that it says is kept under a name.
    pub fn start(&self, line: &str, name: &str) -> Background {
        let log = self.folder.join(name);
        let file = File::create(&log).expect("a log file");
        let mut command = self.command(&format!("exec {line}"));
        command.stdout(file.try_clone().expect("the log file")).stderr(file);
        Background { child: command.spawn().expect("a shell starts"), log }
    }

    fn command(&self, line: &str) -> Command {
        let programs = Path::new(BURSAR).parent().expect("a program rests in a folder").to_owned();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([programs].into_iter().chain(env::split_paths(&path))).expect("a path for programs");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{}{line}", self.exports)]).current_dir(&self.folder);
        command.env_clear().env("PATH", path).env("HOME", &self.folder).stdin(Stdio::null());
        command
    }
}

impl Background {
    /// All that it has said.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("the log file")
    }

    /// Fails where it has ended.
    pub fn expect_running(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "it ended: {}", self.said());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
