/**
 * Which build of the node this origin runs: the one without databases, until one was wanted. That
 * is remembered, so that an app with databases starts with the right one.
 */

const KEY = 'craftec-databases';
/** Where nothing can be remembered, this page still knows. */
let wanted = false;

export function wantsDatabases(): boolean {
  if (wanted) return true;
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return false;
  }
}

export function wantDatabases(): void {
  wanted = true;
  try {
    localStorage.setItem(KEY, '1');
  } catch {
    // A page without storage has the extra start each time.
  }
}
