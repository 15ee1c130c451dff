// @ts-check
/** Who the player is: guest, log in, register in three steps, forgotten password, log out. */
import { byID, onSubmit, show } from '/screens.js';

const GUEST = 'gosper.guest'; // localStorage: the random id that makes this browser the same guest tomorrow

/** The id of this browser's guest, made at the first use: 128 random bits as 32 hex digits. */
function guestID() {
  let id = localStorage.getItem(GUEST);
  if (!id) {
    id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    localStorage.setItem(GUEST, id);
  }
  return id;
}

/**
 * Wires the account screens.
 * @param {import('/gosper.js').Connection} node
 * @param {{loggedIn: (suggestedName: string) => void, loggedOut: () => void}} then
 */
export function accountScreens(node, then) {
  for (const button of document.querySelectorAll('[data-go]')) {
    button.addEventListener('click', () => show(/** @type {HTMLElement} */ (button).dataset.go ?? 'welcome'));
  }
  byID('to-login').addEventListener('click', () => show('login'));
  byID('to-register').addEventListener('click', () => show('register'));
  byID('to-forgot').addEventListener('click', () => show('forgot'));
  byID('have-code').addEventListener('click', () => show('code'));

  onSubmit(byID('guest-form'), async () => {
    await node.call('/user/loginUnique', { unique_id: guestID() });
    then.loggedIn('');
  });

  onSubmit(byID('login-form'), async ({ username, password }) => {
    const { loginStage } = await node.call('/user/loginWithPassword', { username, password });
    byID('login-form').reset();
    if (loginStage === 'enterNewPassword') newPassword(username);
    else then.loggedIn(username);
  });

  onSubmit(byID('register-form'), async ({ username, email }) => {
    await node.call('/user/register', { username, email });
    show('code');
  });

  onSubmit(byID('forgot-form'), async ({ usernameOrEmail }) => {
    await node.call('/user/forgotPassword', { usernameOrEmail });
    show('code');
  });

  onSubmit(byID('code-form'), async ({ emailCode }) => {
    const { username } = await node.call('/user/loginWithEmailCode', { emailCode });
    byID('code-form').reset();
    newPassword(username ?? '');
  });

  onSubmit(byID('password-form'), async ({ password, username }) => {
    await node.call('/user/enterNewPassword', { password });
    byID('password-form').reset();
    then.loggedIn(username);
  });

  byID('logout').addEventListener('click', () => logOut(node, then.loggedOut));
}

/**
 * Ends the login. Without a link the node is not told: its token ends by itself, and this browser forgets it now.
 * @param {import('/gosper.js').Connection} node
 * @param {() => void} loggedOut
 */
export async function logOut(node, loggedOut) {
  await node.call('/user/logout').catch(() => {});
  node.forget();
  loggedOut();
}

/** @param {string} username so that a password manager keeps the two together */
function newPassword(username) {
  byID('password-form').elements.username.value = username;
  show('password');
}
