//! The program: hands arguments to the command line, or standard input and output to the server.

mod memory;

use anstream::{AutoStream, ColorChoice};
use layerwise::cli::{self, Console, Error, Status, Task};
use layerwise::{server, workspace};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    memory::choose();
    match run() {
        Ok(status) => ExitCode::from(status as u8),
        Err(err) => {
            let _ = writeln!(io::stderr(), "layerwise: {err:#}");
            ExitCode::from(Status::Failure as u8)
        }
    }
}

fn run() -> anyhow::Result<Status> {
    let stdout = io::stdout();
    let color = AutoStream::choice(&stdout) != ColorChoice::Never;
    let folder = workspace::from_system(&std::env::current_dir()?).ok_or_else(|| anyhow::anyhow!("the name of the working directory is not UTF-8"))?;
    let mut console = Console {
        folder,
        input: &mut io::stdin(),
        output: &mut BufWriter::new(stdout),
        messages: &mut anstream::stderr(),
        color,
        progress: io::stderr().is_terminal(),
    };
    match cli::run(std::env::args_os(), &mut console) {
        Ok(Task::Done(status)) => Ok(status),
        Ok(Task::Serve) => server::run().map(|clean| if clean { Status::Clean } else { Status::Findings }).map_err(Into::into),
        // Whoever closes the pipe has read enough.
        Err(Error::Output(err)) if err.kind() == ErrorKind::BrokenPipe => Ok(Status::Clean),
        Err(err) => Err(err.into()),
    }
}
