//! Who may pass: limits, connection caps, trusted peers, strict request heads.
