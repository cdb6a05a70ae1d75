
'use strict';
(() => {
  const EVERY_MS = 5000;   // how often the page is asked for
  const LIMIT_MS = 10000;  // how long an answer may take: longer than a node waits for its quorum before it says so
  let next = 0, isAsking = false, known = document.getElementById('at')?.textContent;

  const isSame = (old, fresh) =>
    old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && (old.id || '') === (fresh.id || '');

  // Makes an element what another one is, and changes nothing that is so already: the focus, a selection and a screen
  // reader's place stay where they are.
  const follow = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      // Whether it is unfolded is the reader's choice.
      if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
    }
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const moved = child.id && [...old.children].find((one) => one.id === child.id);
      if (moved && moved !== at) {
        old.insertBefore(moved, at);
        at = moved;
      }
      if (at && isSame(at, child)) {
        follow(at, child);
        at = at.nextSibling;
      } else {
        old.insertBefore(document.adoptNode(child), at);
      }
    }
    while (at) {
      const rest = at.nextSibling;
      at.remove();
      at = rest;
    }
  };

  const show = (page) => {
    const fresh = new DOMParser().parseFromString(page, 'text/html');
    for (const part of ['header', 'main', 'footer']) {
      follow(document.querySelector(part), fresh.querySelector(part));
    }
    if (document.title !== fresh.title) document.title = fresh.title;
    known = document.getElementById('at')?.textContent;
  };

  // What stands on the page is old, and says so. The words are the same until the node answers, so they are read once.
  const isOld = (why) => {
    const words = `This node ${why}. What stands here is ${known ? `of ${known}` : 'old'}.`;
    const health = document.getElementById('health');
    if (health.textContent === words) return;
    health.className = 'health no_quorum';
    const strong = document.createElement('strong');
    strong.textContent = words;
    health.replaceChildren(strong);
    document.title = `no answer - ${document.title.replace(/^.*? - /, '')}`;
  };

  const ask = async () => {
    clearTimeout(next);
    if (document.hidden || isAsking) return;
    isAsking = true;
    try {
      const answer = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(LIMIT_MS) });
      if (answer.ok) show(await answer.text());
      else isOld(`answers ${answer.status}`);
    } catch {
      isOld('does not answer');
    }
    isAsking = false;
    next = setTimeout(ask, EVERY_MS);
  };

  // Nobody looks at a page that is hidden; who comes back sees what is.
  document.addEventListener('visibilitychange', ask);
  next = setTimeout(ask, EVERY_MS);
})();
