// Runs before the first frame, so that a chosen theme never flashes the other one.
try {
  const theme = localStorage.getItem('craftec.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // A private window without storage: the system's theme.
}
