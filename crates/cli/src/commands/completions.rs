use crate::args::Cli;
use crate::exit::Failure;
use clap::CommandFactory;
use clap_complete::Shell;

pub fn print(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "athanor", &mut script);
    crate::ui::print(&String::from_utf8_lossy(&script))?;
    Ok(())
}
