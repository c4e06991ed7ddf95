//! The guide's code against the SDK's types: what a reader copies must compile.

use std::{fs, path::Path};

use anyhow::Context;
use serde_json::json;

use crate::{
    paths,
    shell::{command, run, say},
};

/// What the guide takes for granted: a page with a file chooser, what the reader was given, and
/// functions of the reader's own.
const GIVEN: &str = "declare const input: { files: FileList }\n\
                     declare const card: string\n\
                     declare const token: string\n\
                     declare function draw(done: number, total?: number): void\n";

/// Type-checks the blocks marked `ts`. The first starts the node; each other one stands alone.
pub(super) fn compiles(guide: &Path) -> anyhow::Result<()> {
    let types = paths::root().join("sdk-js/dist/index.d.ts");
    if !types.exists() {
        say("skipped: the SDK is not built, so that the guide's code can't be checked against it");
        return Ok(());
    }
    let text = fs::read_to_string(guide).with_context(|| format!("no {}", guide.display()))?;
    let folder = paths::target().join("xtask/guide");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("guide.ts"), program(&text)?)?;
    let config = json!({
        "compilerOptions": {
            "target": "es2022", "module": "esnext", "moduleResolution": "bundler",
            "lib": ["es2024", "dom", "dom.iterable"], "types": [],
            "strict": true, "useUnknownInCatchVariables": false, "skipLibCheck": true,
            "noEmit": true, "paths": { "@craftec/sdk": [types] },
        },
        "files": ["guide.ts"],
    });
    let config_file = folder.join("tsconfig.json");
    fs::write(&config_file, config.to_string())?;
    run(command("node").arg("node_modules/typescript/bin/tsc").arg("-p").arg(config_file))
}

fn program(text: &str) -> anyhow::Result<String> {
    let mut blocks = text.split("```ts\n").skip(1).filter_map(|rest| rest.split("```").next());
    let (import, start) = blocks
        .next()
        .and_then(|block| block.split_once("\n\n"))
        .context("the guide's first block imports and starts the node")?;
    let first = blocks.next().context("the guide's second block puts and gets")?;
    let rest: String = blocks.map(|block| format!("{{\n{block}}}\n")).collect();
    Ok(format!("{import}\n{GIVEN}{start}\n{first}\n{rest}"))
}
