//! The choice of the next step: a function of the machine, the needs and the consent, without I/O.

use super::machine::{Machine, Rights};
use super::need::Need;
use super::registry::Registry;

/// The consent to the installation of packages by `sudo`. Root installs them without a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Given,
    /// A question is necessary, which only a person on a terminal can answer.
    Ask,
    /// The answer was no, or an installation has failed.
    Denied,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All needs are met, but for those that only leave something out.
    Done {
        missing: Vec<Need>,
    },
    Ask(Vec<Need>),
    Install(Vec<Need>, Rights),
    Fetch(Registry),
    /// There is no way to meet these needs.
    Fail(Vec<Need>),
}

/// Returns the next step on the way to a machine that meets these needs.
pub(super) fn next_step(machine: &Machine, needs: &[Need], consent: Consent) -> Step {
    let missing: Vec<_> = needs.iter().copied().filter(|need| !machine.meets(*need)).collect();
    if missing.is_empty() {
        return Step::Done { missing };
    }
    match (machine.apt, consent) {
        (Some(Rights::Root), Consent::Given | Consent::Ask) => return Step::Install(missing, Rights::Root),
        (Some(Rights::Sudo), Consent::Given) => return Step::Install(missing, Rights::Sudo),
        (Some(Rights::Sudo), Consent::Ask) if machine.is_attended => return Step::Ask(missing),
        _ => {}
    }
    let required: Vec<_> = missing.iter().copied().filter(|need| *need != Need::OpenSsl).collect();
    match (required.as_slice(), machine.registries.first()) {
        ([], _) => Step::Done { missing },
        ([Need::Postgres | Need::ServerPrograms], Some(registry)) => Step::Fetch(*registry),
        _ => Step::Fail(required),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Need; 3] = [Need::CCompiler, Need::Postgres, Need::OpenSsl];

    /// A machine with Rust and a linker and nothing more.
    fn bare() -> Machine {
        Machine { has_c_compiler: true, ..Machine::default() }
    }

    #[test]
    fn a_machine_with_everything_needs_no_step() {
        let machine = Machine {
            programs: Some("/usr/bin".into()),
            has_openssl: true,
            apt: Some(Rights::Root),
            ..bare()
        };
        assert_eq!(next_step(&machine, &ALL, Consent::Ask), Step::Done { missing: vec![] });
    }

    #[test]
    fn root_installs_without_a_question() {
        let machine = Machine { apt: Some(Rights::Root), registries: vec![Registry::Npm], ..bare() };
        let missing = vec![Need::Postgres, Need::OpenSsl];
        assert_eq!(next_step(&machine, &ALL, Consent::Ask), Step::Install(missing, Rights::Root));
        // After an installation that failed.
        assert_eq!(next_step(&machine, &ALL, Consent::Denied), Step::Fetch(Registry::Npm));
    }

    #[test]
    fn sudo_takes_the_flag_or_an_answer_on_a_terminal() {
        let machine = Machine { apt: Some(Rights::Sudo), registries: vec![Registry::Npm], ..bare() };
        let missing = || vec![Need::Postgres, Need::OpenSsl];
        assert_eq!(next_step(&machine, &ALL, Consent::Given), Step::Install(missing(), Rights::Sudo));
        assert_eq!(next_step(&machine, &ALL, Consent::Ask), Step::Fetch(Registry::Npm));
        let machine = Machine { is_attended: true, ..machine };
        assert_eq!(next_step(&machine, &ALL, Consent::Ask), Step::Ask(missing()));
        assert_eq!(next_step(&machine, &ALL, Consent::Denied), Step::Fetch(Registry::Npm));
    }

    #[test]
    fn registries_are_used_in_their_order_and_openssl_is_left_out() {
        let mut machine = Machine { registries: vec![Registry::Npm, Registry::PyPi], ..bare() };
        assert_eq!(next_step(&machine, &ALL, Consent::Ask), Step::Fetch(Registry::Npm));
        machine.registries.remove(0);
        assert_eq!(next_step(&machine, &ALL, Consent::Ask), Step::Fetch(Registry::PyPi));
        machine.fetched = Some("target/postgres".into());
        assert_eq!(next_step(&machine, &ALL, Consent::Ask), Step::Done { missing: vec![Need::OpenSsl] });
    }

    #[test]
    fn without_any_way_the_step_is_to_fail() {
        assert_eq!(next_step(&bare(), &ALL, Consent::Given), Step::Fail(vec![Need::Postgres]));
        // No registry ships a C compiler, so nothing is fetched in vain.
        let machine = Machine { registries: vec![Registry::Npm], ..Machine::default() };
        let required = vec![Need::CCompiler, Need::Postgres];
        assert_eq!(next_step(&machine, &ALL, Consent::Ask), Step::Fail(required));
    }

    #[test]
    fn only_server_programs_serve_where_those_are_needed() {
        let machine = Machine { has_url: true, has_docker: true, ..bare() };
        let done = Step::Done { missing: vec![] };
        assert_eq!(next_step(&machine, &[Need::Postgres], Consent::Ask), done);
        let programs = [Need::ServerPrograms];
        assert_eq!(next_step(&machine, &programs, Consent::Ask), Step::Fail(programs.to_vec()));
    }
}
