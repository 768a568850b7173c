//! `squall rules import FILE`: fault rules of another tool become a rule file.

mod envoy;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Commands for rule files.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum RulesCommand {
    /// Turn another tool's fault configuration into a rule file, printed to standard output.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
}

/// Reads the HTTP fault filter of Envoy (`envoy.extensions.filters.http.fault.v3.HTTPFault`), alone or anywhere within a
/// listener, a route configuration, a bootstrap or an Istio EnvoyFilter, as YAML or JSON.
///
/// What has no counterpart here becomes a comment with the reason; a rule that would then be about more than it was is
/// commented out whole. Exit code 0: printed; 1: no fault configuration was found; 104: the file cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The configuration.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs one of them.
///
/// # Errors
/// The file cannot be read, or is neither YAML nor JSON.
pub(crate) fn run(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    let RulesCommand::Import(args) = command;
    import(args)
}

#[allow(clippy::print_stderr, reason = "a command's output")]
fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let name = args.file.display().to_string();
    let bytes = proxy::read_at_most(&args.file, MOST)
        .map_err(|error| anyhow::anyhow!("cannot read {name}: {error}"))?;
    if MOST < bytes.len() {
        anyhow::bail!("{name} is larger than 16 MiB: is this the right file?");
    }
    let source = String::from_utf8(bytes)
        .map_err(|error| anyhow::anyhow!("{name} is neither YAML nor JSON: {}", error.utf8_error()))?;
    let documents = envoy::documents(&source).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
    let Some(rules) = envoy::rules(&documents, &name) else {
        eprintln!(
            "squall rules import: {name} has no HTTP fault configuration of Envoy: a filter or a route with \
             `envoy.extensions.filters.http.fault.v3.HTTPFault`, or that message alone"
        );
        return Ok(ExitCode::FAILURE);
    };
    if let Err(report) = fault_rules::parse(&rules, &name, &fault_rules::Loader::NOTHING) {
        eprintln!("squall rules import: {name} has something that no rule file can hold:\n{report}");
        return Ok(ExitCode::FAILURE);
    }
    // A reader that went away (`| head`) is no reason to fail.
    let _ = std::io::stdout().lock().write_all(rules.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Above any configuration that people or control planes write.
const MOST: usize = 16 << 20;

const IMPORT_EXAMPLES: &str = "Examples:
  squall rules import envoy.yaml > faults.toml
  squall check faults.toml
Exit code 0: printed; 1: no fault configuration was found; 104: the file cannot be read.";
