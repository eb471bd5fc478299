//! The program: hands arguments to the command line, or standard input and output to the server.

use anstream::{AutoStream, ColorChoice};
use layerwise::cli::{self, Console, Error, Status, Task};
use layerwise::{server, workspace};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

/// The allocator of musl, which the released program is linked with, is slow at the many small parts
/// of a model, and slower where several threads make them at once.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
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
        Ok(Task::Serve) => {
            share_one_heap();
            server::run().map(|clean| if clean { Status::Clean } else { Status::Findings }).map_err(Into::into)
        }
        // Whoever closes the pipe has read enough.
        Err(Error::Output(err)) if err.kind() == ErrorKind::BrokenPipe => Ok(Status::Clean),
        Err(err) => Err(err.into()),
    }
}

/// Has all threads take memory from one heap. In the server they work in turns, and with heaps of
/// their own each would keep what it needed at most: a third more for a large file.
fn share_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: this sets a number inside the allocator, and is no more than a wish.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
