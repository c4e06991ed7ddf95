//! Debian's packages, where this runs as root on Debian.

use anyhow::bail;

use crate::shell::{command, read, run, say, works};

/// Installs packages, or says what to install where this may not.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let wanted = packages.join(" ");
    if !works(command("apt-get").arg("--version")) {
        bail!("not a Debian system: install {wanted} by your system's means");
    }
    if read(command("id").arg("-u"))?.trim() != "0" {
        bail!("not root: run `sudo apt-get install {wanted}`");
    }
    say(&format!("installing {wanted} from Debian"));
    let env = ("DEBIAN_FRONTEND", "noninteractive");
    run(command("apt-get").args(["update", "-qq"]).env(env.0, env.1))?;
    let mut install = command("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    run(install.env(env.0, env.1))
}
