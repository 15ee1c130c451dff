/** Accounts with a password: log in, register in three steps, forgotten password. Loaded when somebody wants one. */
import { $, onSubmit, show } from '/screens.js';

const NAME = 'autocomplete="username" autocapitalize="none" spellcheck="false"';
const step = (n, text) => `<p class="steps"><span aria-current="step">${n} of 3</span> ${text}</p>`;
const buttons = (back, send) => `<p class="problem" role="alert"></p>
	<div class="pair"><button type="button" data-go="${back}">Back</button><button class="primary">${send}</button></div>`;
const screen = (id, title, form, before = '', after = '') => `<section id="${id}" class="screen card" aria-labelledby="${id}-title" hidden>
	<h2 id="${id}-title" tabindex="-1">${title}</h2>${before}<form id="${id}-form">${form}</form>${after}</section>`;

$('enter').insertAdjacentHTML('beforebegin',
	screen('login', 'Log in', `<label>Player name <input name="username" ${NAME} required></label>
		<label>Password <input name="password" type="password" autocomplete="current-password" required></label>${buttons('welcome', 'Log in')}`,
	'', '<p class="hint"><button type="button" data-go="forgot" class="link">Forgot the password?</button></p>')
	+ screen('register', 'Register', `<label>Player name <input name="username" ${NAME} minlength="3" maxlength="32" required></label>
		<label>E-mail <input name="email" type="email" autocomplete="email" required></label>${buttons('welcome', 'Send me the code')}`,
	step(1, 'Name and e-mail'), '<p class="hint"><button type="button" data-go="code" class="link">I have a code already</button></p>')
	+ screen('forgot', 'Forgot the password?', `<label>Player name or e-mail <input name="usernameOrEmail" ${NAME} required></label>${buttons('login', 'Send me a code')}`,
		'<p>If there is such a player, a code is on its way by e-mail.</p>')
	+ screen('code', 'Look into your mail', `<label>Code <input name="emailCode" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" required></label>
		${buttons('welcome', 'Go on')}`, step(2, 'The code from the e-mail'))
	+ screen('password', 'Choose a password', `<input class="visually-hidden" name="username" autocomplete="username" tabindex="-1" aria-hidden="true" readonly>
		<label>Password <input name="password" type="password" autocomplete="new-password" minlength="5" required></label>
		<p class="problem" role="alert"></p><button class="primary wide">Keep it</button>`,
	step(3, 'Five characters or more, with a digit, a small and a capital letter')));

/** Wires the screens. loggedIn gets a name to suggest. */
export function wire(node, loggedIn) {
	for (const go of document.querySelectorAll('[data-go]')) go.addEventListener('click', () => show(go.dataset.go));
	onSubmit('login-form', async ({ username, password }) => {
		const { loginStage } = await node.call('/user/loginWithPassword', { username, password });
		$('login-form').reset();
		if (loginStage === 'enterNewPassword') newPassword(username);
		else loggedIn(username);
	});
	onSubmit('register-form', async (fields) => {
		await node.call('/user/register', fields);
		show('code');
	});
	onSubmit('forgot-form', async (fields) => {
		await node.call('/user/forgotPassword', fields);
		show('code');
	});
	onSubmit('code-form', async (fields) => {
		const { username } = await node.call('/user/loginWithEmailCode', fields);
		$('code-form').reset();
		newPassword(username ?? '');
	});
	onSubmit('password-form', async ({ password, username }) => {
		await node.call('/user/enterNewPassword', { password });
		$('password-form').reset();
		loggedIn(username);
	});
}

/** The name is for password managers, which keep the two together. */
function newPassword(username) {
	$('password-form').elements.username.value = username;
	show('password');
}
