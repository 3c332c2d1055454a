//! Where a command's words go.

use std::{
    fs::{File, Permissions},
    io::{self, BufRead, BufReader, IsTerminal, Write},
    os::{fd::AsFd, unix::fs::PermissionsExt},
};

use crate::failure::Failure;

/// Standard input, output and error, or what stands in for them.
pub struct Console {
    /// Takes the data.
    pub out: Box<dyn Write + Send>,
    /// Who reads the data.
    pub reader: Reader,
    /// Takes progress, questions and failures.
    pub err: Box<dyn Write + Send>,
    /// Gives the answers to questions.
    pub input: Box<dyn BufRead + Send>,
    /// Whether somebody is there to answer.
    pub interactive: bool,
    /// Whether to paint.
    pub colored: bool,
}

/// Who reads what a command writes to standard output.
#[derive(Debug)]
pub enum Reader {
    /// A person at a terminal.
    Person,
    /// Nobody yet: it goes into a file.
    File(File),
    /// A program, through a pipe.
    Program,
}

/// What a word is painted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    Doubtful,
    Bad,
    Heading,
}

impl Reader {
    fn real() -> Self {
        if io::stdout().is_terminal() {
            return Self::Person;
        }
        let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let file = file.ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()));
        file.map_or(Self::Program, Self::File)
    }
}

impl Console {
    /// The process's own.
    pub fn real(no_color: bool) -> Self {
        Self {
            out: Box::new(io::stdout()),
            reader: Reader::real(),
            err: Box::new(io::stderr()),
            input: Box::new(BufReader::new(io::stdin())),
            interactive: io::stdin().is_terminal() && io::stderr().is_terminal(),
            colored: io::stdout().is_terminal() && !no_color,
        }
    }

    /// Writes a secret by itself, on a line. A file that the shell has just made for it becomes its owner's alone first.
    pub(crate) fn secret(&mut self, secret: &str) -> Result<(), Failure> {
        if let Reader::File(file) = &self.reader {
            let is_new = file.metadata().is_ok_and(|metadata| metadata.len() == 0);
            if is_new {
                file.set_permissions(Permissions::from_mode(0o600)).map_err(Failure::output)?;
            }
        }
        self.line(secret)
    }

    /// Writes data.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.out.write_all(data).and_then(|()| self.out.flush()).map_err(Failure::output)
    }

    /// Writes a line of data.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.write(format!("{text}\n").as_bytes())
    }

    /// Tells how it goes.
    pub(crate) fn tell(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.err, "{text}").map_err(Failure::output)
    }

    /// Asks whether to go on; anything but a yes is a no.
    pub(crate) fn confirms(&mut self, question: &str) -> Result<bool, Failure> {
        write!(self.err, "{question} [y/N] ").and_then(|()| self.err.flush()).map_err(Failure::output)?;
        let mut answer = String::new();
        self.input.read_line(&mut answer).map_err(Failure::input)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A word as it is to be shown.
    pub(crate) fn painted(&self, paint: Paint, word: &str) -> String {
        let code = match paint {
            Paint::Good => "32",
            Paint::Doubtful => "33",
            Paint::Bad => "31",
            Paint::Heading => "1",
        };
        if self.colored { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
    }
}
