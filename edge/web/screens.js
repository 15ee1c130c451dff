// @ts-check
/** The screens of the page (one is shown at a time) and what all forms share. */
import { CallError } from '/gosper.js';

/** @param {string} id @returns {any} the element of that id */
export const byID = (id) => document.getElementById(id);

/** The id of the screen that is shown, '' before the first. */
export function shown() {
  return document.querySelector('.screen:not([hidden])')?.id ?? '';
}

/**
 * Shows one screen and puts the focus where its work begins: the first empty field, else the title, so that a screen
 * reader says where the player is now.
 * @param {string} id
 */
export function show(id) {
  if (shown() === id) return;
  for (const screen of document.querySelectorAll('.screen')) /** @type {HTMLElement} */ (screen).hidden = screen.id !== id;
  const screen = byID(id);
  for (const problem of screen.querySelectorAll('.problem')) problem.textContent = '';
  const field = [...screen.querySelectorAll('input:not([readonly])')].find((input) => !input.value && !input.closest('[hidden]'));
  (field ?? screen.querySelector('h2'))?.focus();
  document.body.dataset.screen = id;
}

/**
 * Runs work when the form is sent: one run at a time, what goes wrong is said in the form, the focus goes to the first field.
 * @param {HTMLFormElement} form
 * @param {(fields: Record<string, string>) => Promise<void>} work
 */
export function onSubmit(form, work) {
  const problem = /** @type {HTMLElement} */ (form.querySelector('.problem'));
  const button = /** @type {HTMLButtonElement} */ (form.querySelector('.primary'));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    problem.textContent = '';
    try {
      const fields = [...new FormData(form)].map(([name, value]) => [name, String(value).trim()]);
      await work(Object.fromEntries(fields));
    } catch (error) {
      problem.textContent = explain(error);
      /** @type {HTMLElement|null} */ (form.querySelector('input:not([readonly])'))?.focus();
    } finally {
      button.disabled = false;
    }
  });
}

/** For what cannot be undone: the first click asks, a second one acts. @param {HTMLButtonElement} button @param {string} question @param {() => void} act */
export function sure(button, question, act) {
  const text = button.textContent;
  const back = () => { button.textContent = text; };
  button.addEventListener('blur', back);
  button.addEventListener('click', () => {
    if (button.textContent === question) act();
    button.textContent = button.textContent === question ? text : question;
  });
}

/** What went wrong, for people. @param {unknown} error */
export function explain(error) {
  if (error instanceof CallError) return error.message;
  console.error(error);
  return 'Something went wrong on this page.';
}

/** A small element with text. Text is always set as text. @param {string} tag @param {string} className @param {string} [text] */
export function make(tag, className, text = '') {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

/** A hue of its own for every name, the same on every page. @param {string} name */
export function hue(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % 360;
}

/** A colour 0xRRGGBB as it can be seen on the ground of the page: darker in light, lighter in the dark. @param {number} colour */
export function legible(colour) {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const channels = [colour >> 16, colour >> 8 & 255, colour & 255];
  const light = (channels[0] * 3 + channels[1] * 6 + channels[2]) / 2550;
  const mend = (/** @type {number} */ c) => dark && light < 0.45 ? c + (255 - c) * (0.45 - light) * 1.3 : !dark && light > 0.65 ? c * (1.65 - light) : c;
  return channels.reduce((sum, c) => sum * 256 + Math.round(mend(c)), 0);
}

/** The same for a style sheet. @param {string} colour six hex digits */
export const legibleText = (colour) => `#${legible(parseInt(colour, 16)).toString(16).padStart(6, '0')}`;

/** Shows the first letter of a name on a disc of the name's colour. @param {HTMLElement} disc @param {string} name */
export function avatar(disc, name) {
  disc.textContent = [...name][0] ?? '?';
  disc.style.background = `hsl(${hue(name)} 45% 32%)`;
  disc.style.color = '#fff';
}
