/**
 * The script of the checkout: it ticks, looks for another state, copies, and shows local times. The page says in
 * attributes what to do and in which words, and does without the script. Served as a file, because the page allows no
 * inline script.
 */
export const CHECKOUT_SCRIPT = String.raw`'use strict';
(() => {
  const one = (selector) => document.querySelector(selector);
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  const parts = { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' };
  each('time[data-local]', (time) => {
    const at = new Date(time.dateTime);
    if (at.getTimezoneOffset() === 0) return;
    const local = at.toLocaleString(document.documentElement.lang, parts);
    time.after(' · ' + fill(time.dataset.local, { time: local }));
  });

  const order = one('[data-state]');
  const isLive = (live) => {
    each('[data-live]', (element) => (element.hidden = !live));
    each('[data-still]', (element) => (element.hidden = live));
  };
  async function look() {
    if (document.hidden) return;
    try {
      const answer = await fetch(order.dataset.look, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(answer.status);
      if ((await answer.json()).state !== order.dataset.state) location.reload();
      isLive(true);
    } catch {
      isLive(false);
    }
  }
  if (order !== null) {
    isLive(true);
    setInterval(look, Number(order.dataset.everyMs));
    document.addEventListener('visibilitychange', look);
  }

  const clock = one('[data-left-ms]');
  if (clock !== null) {
    const end = Date.now() + Number(clock.dataset.leftMs);
    const ticking = setInterval(() => {
      const left = Math.max(0, Math.floor((end - Date.now()) / 1000));
      clock.textContent = fill(clock.dataset.text, { minutes: Math.floor(left / 60), seconds: left % 60 });
      if (end > Date.now()) return;
      clearInterval(ticking);
      look();
    }, 250);
  }

  async function copy(button, label) {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      one('#said').textContent = button.textContent = button.dataset.done;
      setTimeout(() => {
        one('#said').textContent = '';
        button.textContent = label;
      }, 2000);
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector('.select'));
    }
  }
  if (navigator.clipboard === undefined) return;
  each('button[data-copy]', (button) => {
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener('click', () => copy(button, label));
  });
})();
`;
