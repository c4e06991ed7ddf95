// Starts the app. The names of its two files carry their hashes; the loading element names them.
const { app, wasm } = document.querySelector('script[data-app]').dataset;
const loading = document.getElementById('loading');

function say(text) {
  loading.setAttribute('role', 'alert');
  loading.textContent = text;
}

/** What this browser lacks, in one sentence; nothing when it lacks nothing, or nobody can tell. */
async function lacking() {
  try {
    const { support, lacks } = await import('/sdk/support.js');
    const { missing } = support();
    return missing.length > 0 ? lacks(missing) : '';
  } catch {
    return '';
  }
}

const lack = await lacking();
try {
  if (lack) throw new Error(lack);
  const { default: init } = await import(app);
  await init({ module_or_path: wasm });
  loading.remove();
} catch (error) {
  const hint = 'Open this page over https or on localhost, in a current Chromium or Firefox.';
  say(lack ? `${lack} ${hint}` : `The app did not start: ${error.message} Reload the page.`);
  throw error;
}
