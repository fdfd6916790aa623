//! Pools of servers: discovery, health, selection, retry budget; the built-in file origin.
