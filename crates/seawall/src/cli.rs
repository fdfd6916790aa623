//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Where the configuration is when nobody says.
const DEFAULT_CONFIG: &str = "/etc/seawall/seawall.yaml";

/// An edge proxy and HTTP cache, configured by one YAML file.
#[derive(Debug, Parser)]
#[command(name = "seawall", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Start with `seawall check FILE`, then `seawall run FILE`. \
    docs/ explains each task; `seawall reference` prints every setting.")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until told to stop (SIGTERM drains, SIGINT stops at once, SIGHUP reloads, SIGUSR1 reopens log files)
    Run(ConfigFile),
    /// Check a configuration and print what would run; exits with 1 on errors
    Check(CheckArgs),
    /// Say which site, route, upstream, server and cache rule a request would take, and why
    Explain(ExplainArgs),
    /// Say how a running Seawall is
    Status(RemoteArgs),
    /// Show the pools of a running Seawall, or drain, enable and weigh their servers
    Pools(PoolsArgs),
    /// Take responses out of the cache of a running Seawall, by URL, tag, prefix, host, or all
    Purge(PurgeArgs),
    /// Have a running Seawall read its configuration anew; exits with 1 when it is refused
    Reload(ReloadArgs),
    /// Exchange a running Seawall for the binary and the configuration on disk, without dropping a request
    Upgrade(RemoteArgs),
    /// End a running Seawall, after its requests
    Stop(StopArgs),
    /// Look into the folder of a disk tier: reads only, also beside a running Seawall
    Store(StoreArgs),
    /// Print the reference of every setting, or of every metric, as Markdown
    Reference(ReferenceArgs),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// A configuration file.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file
    #[arg(value_name = "FILE", env = "SEAWALL_CONFIG", default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
}

/// `seawall check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Print errors and warnings only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Fail on warnings, too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print the whole configuration with every default filled in (secrets masked)
    #[arg(long)]
    pub(crate) dump: bool,
}

/// `seawall explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The URL a client would ask for, as in https://example.com/path?query
    pub(crate) url: String,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", env = "SEAWALL_CONFIG", default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
    /// A request header, as in curl; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The request method
    #[arg(short = 'X', long = "request", value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// The client's address
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
    pub(crate) client: std::net::IpAddr,
}

/// `seawall reference`.
#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    /// Of what
    #[arg(value_enum, default_value = "settings")]
    pub(crate) of: Subject,
}

/// What there is a reference of.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Subject {
    /// The keys of the configuration file
    Settings,
    /// The families at `/metrics`
    Metrics,
}

/// Where the control API of the running process is.
#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    /// The control API: `unix:/path` or `address:port`. When not given, `admin.listen` of the configuration says
    #[arg(long, value_name = "PLACE", env = "SEAWALL_ADMIN")]
    pub(crate) admin: Option<seawall_admin::Target>,
    /// The configuration file to look for `admin.listen` in
    #[arg(short, long, value_name = "FILE", env = "SEAWALL_CONFIG", default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
    /// A file with the token of the control API; SEAWALL_ADMIN_TOKEN may hold the token itself
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `seawall reload`.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// Upgrade when a reload does not do: when another binary is in place, or the file has changes that wait for an upgrade
    #[arg(long)]
    pub(crate) upgrade_if_needed: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// `seawall pools`.
#[derive(Debug, Args)]
pub(crate) struct PoolsArgs {
    /// Only this pool
    pub(crate) pool: Option<String>,
    /// Take no new requests to this server of the pool
    #[arg(long, value_name = "SERVER", requires = "pool", group = "order")]
    pub(crate) drain: Option<String>,
    /// Take requests to this server again, although the configuration drains it
    #[arg(long, value_name = "SERVER", requires = "pool", group = "order")]
    pub(crate) enable: Option<String>,
    /// Give a server another weight: SERVER=WEIGHT
    #[arg(long, value_name = "SERVER=WEIGHT", requires = "pool", group = "order")]
    pub(crate) weight: Option<String>,
    /// Take all orders for this server back: the configuration counts again
    #[arg(long, value_name = "SERVER", requires = "pool", group = "order")]
    pub(crate) reset: Option<String>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// `seawall purge`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct PurgeArgs {
    /// URLs, as clients ask for them
    #[arg(group = "what")]
    pub(crate) urls: Vec<String>,
    /// The object with this key, as `seawall store dump` or Cache-Status (`cache.purge.show_key`) tells it
    #[arg(long = "key", value_name = "KEY", group = "what")]
    pub(crate) keys: Vec<String>,
    /// Responses with this tag (Surrogate-Key, Cache-Tag, xkey, Cache-Groups)
    #[arg(long = "tag", value_name = "TAG", group = "what")]
    pub(crate) tags: Vec<String>,
    /// Responses at and beneath a path: example.com/assets
    #[arg(long = "prefix", value_name = "HOST/PATH", group = "what")]
    pub(crate) prefixes: Vec<String>,
    /// Responses of a host
    #[arg(long = "host", value_name = "HOST", group = "what")]
    pub(crate) hosts: Vec<String>,
    /// All there is
    #[arg(long, group = "what")]
    pub(crate) everything: bool,
    /// Keep the responses, but ask the origin before they are used again; what is done for all but URLs and keys
    #[arg(long, conflicts_with = "hard")]
    pub(crate) soft: bool,
    /// Use the responses no more, whatever state the origin is in; what is done for URLs and keys
    #[arg(long)]
    pub(crate) hard: bool,
    /// Only in this zone of the cache (`cache.zones`); in all when not given
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// `seawall stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Cut requests off at once
    #[arg(long)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// `seawall store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// What to do
    #[arg(value_enum)]
    pub(crate) task: StoreTask,
    /// The folder, as `cache.disk.path` names it
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

/// What `seawall store` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StoreTask {
    /// Check every byte; exits with 1 on damage
    Verify,
    /// Count what is there
    Stats,
    /// List every record
    Dump,
}

/// Reads the command line; prints help or a usage error and ends the process where clap says so.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}
