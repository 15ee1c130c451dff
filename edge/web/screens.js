/** The screens of the page (one is shown at a time) and what all parts share. */
import { CallError } from '/gosper.js';

/** The element of an id. */
export const $ = (id) => document.getElementById(id);

/** Listens to the element of an id. */
export const on = (id, type, act) => $(id).addEventListener(type, act);

/** Sets the text of the element of an id. Text is always set as text. */
export const say = (id, text) => { $(id).textContent = text; };

/** A small element with text. */
export function make(tag, className, text = '') {
	const element = document.createElement(tag);
	element.className = className;
	element.textContent = text;
	return element;
}

/** A button that does something. */
export function button(className, text, act) {
	const element = make('button', className, text);
	element.type = 'button';
	element.addEventListener('click', act);
	return element;
}

/** A dot of a player's colour, six hex digits. */
export function swatch(colour) {
	const dot = make('span', 'swatch');
	dot.style.background = legibleText(colour);
	return dot;
}

/** The id of the screen that is shown, '' before the first. */
export const shown = () => document.querySelector('.screen:not([hidden])')?.id ?? '';

/** Shows a screen, with the focus where its work begins: the first empty field, else the title, which is read out. */
export function show(id) {
	if (shown() === id) return;
	for (const screen of document.querySelectorAll('.screen')) screen.hidden = screen.id !== id;
	for (const problem of $(id).querySelectorAll('.problem')) problem.textContent = '';
	const field = [...$(id).querySelectorAll('input:not([readonly])')].find((input) => !input.value && !input.closest('[hidden]'));
	(field ?? $(id).querySelector('h2'))?.focus();
	document.body.dataset.screen = id;
}

/** Runs work with the fields when a form is sent: one run at a time; what goes wrong is said in the form. */
export function onSubmit(id, work) {
	const form = $(id);
	const problem = form.querySelector('.problem');
	const send = form.querySelector('.primary');
	form.addEventListener('submit', async (event) => {
		event.preventDefault();
		if (send.disabled) return;
		const fields = [...new FormData(form, event.submitter)].map(([name, value]) => [name, value.trim()]);
		send.disabled = true;
		problem.textContent = '';
		try {
			await work(Object.fromEntries(fields));
		} catch (error) {
			problem.textContent = explain(error);
			form.querySelector('input:not([readonly])')?.focus();
		} finally {
			send.disabled = false;
		}
	});
}

/** For what cannot be undone: the first click asks, a second one acts. */
export function sure(element, question, act) {
	const [text, label] = [element.textContent, element.ariaLabel];
	const name = (shown, read) => { [element.textContent, element.ariaLabel] = [shown, read]; };
	const back = () => name(text, label);
	element.dataset.asks = question;
	element.addEventListener('blur', back);
	element.addEventListener('click', () => {
		if (element.textContent === question) {
			back();
			act();
		} else name(question, null);
	});
}

/** Arrow keys, Home and End go from tab to tab; select gets the number of the next one. */
export function arrows(tabs, select) {
	tabs.forEach((tab, index) => tab.addEventListener('keydown', (event) => {
		const step = { ArrowRight: index + 1, ArrowLeft: index + tabs.length - 1, Home: 0, End: tabs.length - 1 }[event.key];
		if (step === undefined) return;
		event.preventDefault();
		select(step % tabs.length);
		tabs[step % tabs.length].focus();
	}));
}

/** What went wrong, for people. */
export function explain(error) {
	if (error instanceof CallError) return error.message;
	console.error(error);
	return 'Something went wrong on this page.';
}

/** Calls f when the page becomes dark or light. */
export const onScheme = (f) => matchMedia('(prefers-color-scheme: dark)').addEventListener('change', f);

/** A colour 0xRRGGBB as it can be seen on the ground of the page: darker in light, lighter in the dark. */
export function legible(colour) {
	const dark = matchMedia('(prefers-color-scheme: dark)').matches;
	const channels = [colour >> 16, colour >> 8 & 255, colour & 255];
	const light = (channels[0] * 3 + channels[1] * 6 + channels[2]) / 2550;
	const mend = (c) => dark && light < 0.45 ? c + (255 - c) * (0.45 - light) * 1.3 : !dark && light > 0.65 ? c * (1.65 - light) : c;
	return channels.reduce((sum, c) => sum * 256 + Math.round(mend(c)), 0);
}

/** The same from six hex digits, for a style. */
export const legibleText = (colour) => `#${legible(parseInt(colour, 16)).toString(16).padStart(6, '0')}`;

/** A hue of its own for every name, the same on every page. */
export function hue(name) {
	let hash = 0;
	for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
	return hash % 360;
}

/** Shows the first letter of a name on a disc of the name's colour. */
export function avatar(disc, name) {
	disc.textContent = [...name][0] ?? '?';
	disc.style.background = `hsl(${hue(name)} 45% 32%)`;
	disc.style.color = '#fff';
}
