//! The `athanor` program: flags and files → plan → calls. It alone prints and exits.

mod args;
mod commands;
mod exit;
mod panic;
mod plan;
mod signals;
mod ui;

use args::{Cli, Command};
use clap::Parser;
use exit::{Code, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let code = panic::guarded(|| {
        let cli = Cli::parse();
        choose_color(cli.color);
        match run(&cli.command) {
            Ok(()) => Code::Done,
            Err(failure) => failure.tell(cli.command.look()),
        }
    });
    ExitCode::from(code.unwrap_or(Code::OwnFault).number())
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Quickstart { quickstart, output } => commands::quickstart::quickstart(quickstart, output.look()),
        Command::Train { plan, output } => commands::train::train(plan, output.look()),
        Command::Resume { run, output } => commands::train::resume(run, output.look()),
        Command::Plan { plan: Some(plan), output, .. } => commands::plan::show(plan, output.look()),
        Command::Plan { plan: None, .. } => commands::plan::keys(),
        Command::Mix { mix, output } => commands::mix::mix(mix, output.look()),
        Command::Quantize { quantize, output } => commands::quantize::quantize(quantize, output.look()),
        Command::Eval { eval, output } => commands::eval::eval(eval, output.look()),
        Command::Scan { scan, output } => commands::scan::scan(scan, output.look()),
        Command::Merge { merge, output } => commands::merge::merge(merge, output.look()),
        Command::Inspect { inspect, output } => commands::inspect::inspect(inspect, output.look()),
        Command::Shrink { shrink, output } => commands::shrink::shrink(shrink, output.look()),
        Command::Combine { combine, output } => commands::combine::combine(combine, output.look()),
        Command::Doctor { output } => commands::doctor::show(output.look()),
        Command::Completions { shell } => commands::completions::print(*shell),
    }
}

fn choose_color(choice: clap::ColorChoice) {
    match choice {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}
