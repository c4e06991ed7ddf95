// Starts the app. The names of its two files carry their hashes; the loading element names them.
const { app, wasm } = document.querySelector('script[data-app]').dataset;
const loading = document.getElementById('loading');
try {
  const { default: init } = await import(app);
  await init({ module_or_path: wasm });
  loading.remove();
} catch (error) {
  loading.setAttribute('role', 'alert');
  loading.textContent = `The app did not start: ${error.message} Reload, or use a browser of the last two years.`;
  throw error;
}
