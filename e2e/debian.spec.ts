/**
 * A distribution on a disk: boots from the catalogue's image, works, and keeps what was done through a reload of the page.
 * It needs that image, which is built on request, so it is no part of `npm test`: `npm run test:debian` runs it.
 */
import { expect, test, type Vmm } from './fixtures.ts';

const guest = process.env['TABVISOR_DEBIAN'] ?? 'debian-amd64';
const bootMs = 300_000;
const shell = /root@[a-z0-9-]+:[^\n]*# $/;

test.setTimeout(1_200_000);

/** Resolves at the shell, which the console logs in to by itself. */
async function booted(vmm: Vmm): Promise<void> {
  await vmm.state(guest, 'running');
  await vmm.text(guest, /tabvisor: guest ready/, { timeoutMs: bootMs });
  await vmm.text(guest, shell, { timeoutMs: bootMs });
}

/** What a command prints, between marks that its echo does not have. */
async function output(vmm: Vmm, command: string): Promise<string> {
  const from = await vmm.position(guest);
  await vmm.type(guest, `echo '<'b; ${command}; echo e'>'\n`);
  const text = await vmm.text(guest, /^<b\r?\n([\s\S]*?)e>\r?$/m, { from, timeoutMs: bootMs });
  await vmm.text(guest, shell, { from, timeoutMs: bootMs });
  return text.replaceAll('\r', '').trim();
}

test('Debian boots from its disk, computes, compiles, and is still so after a reload', async ({ page, vmm }) => {
  await vmm.open();
  const known = await page.evaluate(() => window.tabvisor.catalogue().then((all) => all.map((one) => one.catalogueId)));
  expect(known, `the image is missing: npm run guests ${guest}`).toContain(guest);

  const start = Date.now();
  await vmm.open(`?guest=${guest}`);
  await booted(vmm);
  const first = Date.now() - start;
  expect(await output(vmm, "python3 -c 'print(6*7)'")).toBe('42');
  const source = '#include <stdio.h>\\nint main(void){puts("compiled");return 0;}\\n';
  expect(await output(vmm, `printf '${source}' >hello.c && gcc hello.c && ./a.out`)).toBe('compiled');
  expect(await output(vmm, 'cat /etc/debian_version')).toMatch(/^\d+\./);
  expect(await output(vmm, 'dpkg --audit; apt list --installed 2>/dev/null | grep -c ^gcc/')).toBe('1');
  await output(vmm, 'echo kept >note; sync');
  await page.screenshot({ path: 'test-results/debian.png' });
  const disks = await page.evaluate(() => window.tabvisor.disks.list());
  expect(disks).toMatchObject([{ id: guest, madeFor: guest }]);

  // Without a word to the guest, which has synced.
  const again = Date.now();
  await page.reload();
  await page.waitForFunction(() => window.tabvisor !== undefined);
  await booted(vmm);
  console.log(`login after ${first} ms; after the reload ${Date.now() - again} ms`);
  expect(await output(vmm, 'cat note && ./a.out')).toBe('kept\ncompiled');
  expect(await output(vmm, 'dmesg | grep -ci "ext4-fs error"')).toBe('0');
  // What was written takes room, and the image that it stands on does not.
  expect(await page.evaluate((id) => window.tabvisor.disks.allocated(id), guest)).toBeLessThan(256 * 2 ** 20);
});
