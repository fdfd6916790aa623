# The built-in rules; as in the suite's own comparison, without a lifetime of Varnish's own (see the command).
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "@ORIGIN@"; }
