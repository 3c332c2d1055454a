//! Server processes: started or adopted, measured, killed, and never left behind.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tempfile::TempDir;

/// A process that is killed when this is dropped.
pub struct Server {
    pid: Pid,
    /// Names this very process, even after its number has gone to another.
    handle: OwnedFd,
    /// There where it was started here, and so has to be reaped here.
    child: Option<Child>,
}

impl Server {
    /// Starts a process whose output goes to the end of the file `log`.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let program = command.get_program().to_owned();
        let log =
            File::options().create(true).append(true).open(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share a log file")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = Pid::from_child(&child);
        let handle = pidfd_open(pid, PidfdFlags::empty()).context("cannot hold on to a process")?;
        Ok(Self { pid, handle, child: Some(child) })
    }

    /// Takes charge of a process that another one started.
    pub fn adopt(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(|| format!("{pid} is no number of a process"))?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("there is no process {pid:?}"))?;
        Ok(Self { pid, handle, child: None })
    }

    /// Kills it with SIGKILL, and returns once it is gone. One that is gone already is left in peace.
    pub fn kill(&mut self) -> Result<()> {
        end(&self.handle).with_context(|| format!("cannot kill process {}", self.pid.as_raw_pid()))?;
        if let Some(child) = &mut self.child {
            child.wait().context("cannot reap a process")?;
        }
        Ok(())
    }

    /// Whether it has ended by itself with success; an error if it ended otherwise. Only for a process that was started here.
    pub fn succeeded(&mut self) -> Result<bool> {
        let child = self.child.as_mut().context("only a process that was started here tells how it ended")?;
        let Some(status) = child.try_wait().context("cannot ask after a process")? else { return Ok(false) };
        ensure!(status.success(), "it ended with {status}");
        Ok(true)
    }

    /// The processor time that it has used since it started, in user and in kernel mode.
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time(&self.pid.as_raw_pid().to_string())
    }

    /// The memory that it occupies.
    pub fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.pid.as_raw_pid());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Memory::parse(&status).with_context(|| format!("{path} does not tell the memory"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("bench: {error:#}");
        }
    }
}

/// Kills a process and waits until it is gone.
fn end(handle: &OwnedFd) -> io::Result<()> {
    const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
    match pidfd_send_signal(handle, Signal::KILL) {
        Err(error) if error != rustix::io::Errno::SRCH => return Err(error.into()),
        _ => {}
    }
    match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&PATIENCE))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end")),
        _ => Ok(()),
    }
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All its pages that are in memory, those of mapped files included.
    pub resident: u64,
    /// Those of them that no file stands behind: heaps and stacks.
    pub anonymous: u64,
}

impl Memory {
    /// Reads the text of /proc/PID/status.
    fn parse(status: &str) -> Option<Self> {
        let bytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Some(Self { resident: bytes("VmRSS:")?, anonymous: bytes("RssAnon:")? })
    }
}

/// The processor time that this process has used.
pub fn own_cpu_time() -> Result<Duration> {
    cpu_time("self")
}

fn cpu_time(pid: &str) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = parse_cpu_ticks(&stat).with_context(|| format!("{path} does not tell the processor time"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// utime + stime of /proc/PID/stat, its 14th and 15th field. The second is the program's name, which may hold blanks and parentheses.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

/// A directory for the data of one system. When it is dropped, whatever process still names it on its command line is killed, and it
/// is removed.
pub struct RunDirectory {
    directory: TempDir,
}

impl RunDirectory {
    /// Makes one in `parent`.
    pub fn new(parent: &Path, name: &str) -> Result<Self> {
        let parent = parent.canonicalize().with_context(|| format!("cannot use {}", parent.display()))?;
        let directory =
            tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(parent).context("cannot make a directory")?;
        Ok(Self { directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Kills the processes that name it: those that a helper program left behind before it told of them.
    fn end_processes(&self) -> Result<()> {
        let numbers = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in numbers.filter_map(Pid::from_raw) {
            // The handle comes first: it stays with the process whose command line is read next.
            let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let Ok(command_line) = fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())) else { continue };
            let names_it = command_line
                .split(|byte| *byte == 0)
                .any(|argument| std::str::from_utf8(argument).is_ok_and(|argument| Path::new(argument).starts_with(self.path())));
            if names_it {
                end(&handle).with_context(|| format!("cannot kill process {}", pid.as_raw_pid()))?;
            }
        }
        Ok(())
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if let Err(error) = self.end_processes() {
            eprintln!("bench: {error:#}");
        }
    }
}

/// So many ports of the loopback interface that nobody listens on. They lie below the range that outgoing connections draw from, so
/// that no client holds a killed node's port when the node is started again.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    const FIRST: u16 = 20_000;
    const BEHIND_LAST: u16 = 32_000;
    let start = FIRST + (std::process::id() % u32::from(BEHIND_LAST - FIRST)) as u16;
    // All are held until all are found, so none is found twice.
    let mut held = Vec::with_capacity(count);
    for port in (start..BEHIND_LAST).chain(FIRST..start) {
        if held.len() == count {
            break;
        }
        held.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    ensure!(held.len() == count, "there are no {count} free ports from {FIRST} to {BEHIND_LAST}");
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// The last lines of a log, for an error message.
pub fn log_tail(log: &PathBuf) -> String {
    const LINES: usize = 8;
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    format!("the end of {}:\n{}", log.display(), lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_running(pid: Pid) -> bool {
        // A zombie, which a process of another parent can remain for a while, runs no more.
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    #[test]
    fn a_dropped_server_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::spawn(Command::new("sleep").arg("600"), &directory.path().join("log")).unwrap();
        let pid = server.pid;
        assert!(is_running(pid));
        assert!(server.memory().unwrap().resident >= server.memory().unwrap().anonymous);
        drop(server);
        assert!(!is_running(pid));
    }

    #[test]
    fn an_adopted_process_can_be_killed_and_killed_again() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let mut server = Server::adopt(child.id()).unwrap();
        server.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        server.kill().unwrap();
    }

    #[test]
    fn a_directory_takes_the_processes_that_name_it_along() {
        let parent = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(parent.path(), "test").unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let mut inside = Command::new("tail").arg("-f").arg(&file).stdout(Stdio::null()).spawn().unwrap();
        let mut outside = Command::new("sleep").arg("600").spawn().unwrap();
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!inside.wait().unwrap().success());
        assert!(outside.try_wait().unwrap().is_none());
        assert!(!path.exists());
        outside.kill().unwrap();
        outside.wait().unwrap();
    }

    #[test]
    fn the_end_of_a_started_process_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut failing = Server::spawn(Command::new("sh").args(["-c", "echo told; exit 3"]), &log).unwrap();
        failing.child.as_mut().unwrap().wait().unwrap();
        assert!(failing.succeeded().unwrap_err().to_string().contains('3'));
        assert!(log_tail(&log).ends_with("told"));
    }

    #[test]
    fn figures_are_read_from_the_kernels_texts() {
        let stat = "42 (a (bad) name) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 1 0 100 200 300";
        assert_eq!(parse_cpu_ticks(stat), Some(175));
        let status = "Name:\tbursar\nVmRSS:\t    2048 kB\nRssAnon:\t     512 kB\n";
        assert_eq!(Memory::parse(status), Some(Memory { resident: 2 << 20, anonymous: 512 << 10 }));
        assert_eq!(Memory::parse("Name:\tkthreadd\n"), None);
        assert!(own_cpu_time().is_ok());
    }

    #[test]
    fn free_ports_differ() {
        let mut ports = free_ports(6).unwrap();
        ports.dedup();
        assert_eq!(ports.len(), 6);
    }
}
