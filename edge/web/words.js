/** What happens between players, in words: pushes, mails, things, spans of time. Loaded when the player enters a world. */

/** Roles in a family by number. */
export const ROLES = { 0: 'member', 4: 'elite', 8: 'admin', 10: 'owner' };

/** A span of time for people. */
export function span(ms) {
	const s = Math.max(0, Math.ceil(ms / 1000));
	const two = (n, big, small) => `${Math.floor(s / n)} ${big}${s % n ? ` ${Math.floor(s % n / (n / 60))} ${small}` : ''}`;
	return s < 60 ? `${s} s` : s < 3600 ? two(60, 'min', 's') : two(3600, 'h', 'min');
}

const GROUPS = ['weapon', 'skill', 'role', 'resource', 'armour']; // of things, by number; patterns are 9

/** The name of a thing. */
export const thing = (group, id) => group === 9 ? id : `${GROUPS[group] ?? 'thing'} ${id}`;

/** Items 'gid:iid:qty,…' of a mail. */
export const things = (items) => items.split(',').map((item) => item.split(':'))
	.map(([group, id, count]) => `${Number(count).toLocaleString()} × ${thing(Number(group), id)}`).join(', ');

/** The subject of a mail; those of requests are written by the node for programs. */
export const subject = ({ subj, name }) => ({
	FRIEND_REQUEST: 'Asks to be your friend', FRIEND_GIFT: 'The gift of the day',
	FAMILY_INVITATION: `Invites you to the family ${name ?? ''}`, FAMILY_REQUEST: `Asks to join the family ${name ?? ''}`,
})[subj]?.trim() ?? (subj || 'No subject');

/** A change of a family as a sentence; me is the name of the reader. */
export function familyChange({ change, name, gn, gn_target: target, role }, me) {
	const [who, whom] = [gn === me ? 'You' : gn, target === me ? 'you' : target];
	const became = ROLES[role] && `${who} gave ${whom} the role ${ROLES[role]}.`;
	return {
		created: `${who} founded the family ${name}.`, invited: `${who} invited ${whom} to the family.`,
		joined: `${target === me ? 'You' : target} joined the family ${name}.`, left: `${who} left the family ${name}.`,
		removed: `${who} removed ${whom} from the family ${name}.`, role: became ?? `${who} gave ${whom} another role.`,
		owner: `${who} handed the family over to ${whom}.`, renamed: `${who} gave the family the name ${name}.`,
		notice: `${who} put up a new notice for the family.`, board: `${who} wrote on the board of the family.`,
		icon: `${who} gave the family another icon.`, ending: `${who} disbanded the family ${name}. It can still be taken back.`,
		kept: `${who} took it back: the family ${name} goes on.`, ended: `The family ${name} has ended.`,
	}[change];
}

/**
 * What a push says to the player in `place`: {text, tab, what}, tab and what being where more is to be seen; quiet when the
 * player has done it. Undefined for pushes that say nothing here.
 */
export function told(route, content, place) {
	if (content.world !== undefined && content.world !== place.world) return undefined;
	return WORDS[route]?.(content, place);
}

const WORDS = {
	'/mail/new': ({ key, type, from, subj }) => ({ text: `Mail from ${from}${type === '1' ? ', with a gift' : ''}: ${subject({ subj })}`, tab: 'mail', what: { key } }),
	'/friend/changed': ({ change, name }) => ({ text: change === 'added' ? `${name} is your friend now.` : `${name} is not your friend any more.`, tab: 'friends' }),
	'/family/changed': (content, { name }) => ({ text: familyChange(content, name), tab: 'family', quiet: content.gn === name }),
	'/building/upgraded': ({ level }) => ({ text: `A building of yours has reached level ${level}.`, quiet: true }),
	'/chat/muted': ({ muted, until, reason }) => ({
		text: muted ? `You may not speak${until ? ` until ${new Date(until).toLocaleString()}` : ''}${reason ? `: ${reason}` : '.'}` : 'You may speak again.',
	}),
};
