/** Guests with disks in the browser's storage. */
import { expect, amd64, test, type Vmm } from './fixtures.ts';

/** The last line that a command prints: one whose echo fills more than a line of the terminal is echoed in pieces. */
async function lastLine(vmm: Vmm, guest: string, command: string): Promise<string | undefined> {
  return (await vmm.run(guest, command, 60_000)).split('\n').at(-1);
}

test('a guest’s disk survives a reload of the page, and has one writer', async ({ page, vmm, context }) => {
  await vmm.open();
  const disk = await page.evaluate(() => window.tabvisor.disks.create({ name: 'Home', sizeMiB: 48 }));
  expect(disk).toBe('home');
  const start = (): Promise<string> =>
    page.evaluate(
      async ([guest, id]) => {
        const made = await window.tabvisor.create(guest, { disks: [id] });
        await window.tabvisor.start(made);
        return made;
      },
      [amd64, disk] as const,
    );
  const guest = await start();
  await vmm.bootedQuietly(guest);
  await vmm.run(guest, 'mke2fs -F /dev/vda >/dev/null && mkdir /mnt && mount -t ext4 /dev/vda /mnt; echo $?');
  const sum = await lastLine(vmm, guest, 'head -c 4194304 /dev/urandom >/mnt/file; sync; md5sum </mnt/file');
  expect(sum).toMatch(/^[0-9a-f]{32}/);
  expect(await page.evaluate(() => window.tabvisor.disks.list())).toMatchObject([
    { id: disk, usedBy: expect.any(String) },
  ]);

  // Another tab is told who has it, and may read what was saved.
  const other = await context.newPage();
  await other.goto('./');
  await other.waitForFunction(() => window.tabvisor !== undefined);
  const refused = await other.evaluate(
    async ([id, kernel]) => {
      const made = await window.tabvisor.create(kernel, { disks: [id] });
      return window.tabvisor.start(made).then(
        () => '',
        (error: Error) => error.message,
      );
    },
    [disk, amd64] as const,
  );
  expect(refused).toMatch(/Linux \(64-bit\) has the disk "home" open for writing/);
  const image = await other.evaluate(async (id) => {
    const blob = await window.tabvisor.disks.export(id);
    const magic = new Uint8Array(await blob.slice(1080, 1082).arrayBuffer());
    return [blob.size, ...magic];
  }, disk);
  expect(image).toEqual([48 * 2 ** 20, 0x53, 0xef]);
  await other.close();

  // Without a word to the guest, which has synced.
  await page.reload();
  await page.waitForFunction(() => window.tabvisor !== undefined);
  const again = await start();
  await vmm.bootedQuietly(again);
  await vmm.run(again, 'mkdir /mnt && mount -t ext4 /dev/vda /mnt; echo $?');
  expect(await lastLine(vmm, again, 'md5sum </mnt/file')).toBe(sum);
  await vmm.run(again, 'umount /mnt; sync; echo $?');
  await page.evaluate((id) => window.tabvisor.kill(id), again);
  await page.waitForFunction(async () => (await window.tabvisor.disks.list())[0]?.usedBy === undefined);
  await page.evaluate((id) => window.tabvisor.disks.delete(id), disk);
  expect(await page.evaluate(() => window.tabvisor.disks.list())).toEqual([]);
});

test('a guest has its disk in bare-metal mode, too, and when the mode changes', async ({ page, vmm }) => {
  await vmm.open();
  const disk = await page.evaluate(() => window.tabvisor.disks.create({ name: 'Moved', sizeMiB: 16 }));
  const guest = await page.evaluate(
    async ([kernel, id]) => {
      await window.tabvisor.processors({ mode: 'bare-metal', count: 1 });
      const made = await window.tabvisor.create(kernel, { disks: [id] });
      await window.tabvisor.start(made);
      return made;
    },
    [amd64, disk] as const,
  );
  await vmm.bootedQuietly(guest);
  const copy =
    'dd if=/dev/urandom of=/tmp/x bs=1M count=8 2>/dev/null; dd if=/tmp/x of=/dev/vda bs=64k conv=fsync 2>/dev/null; ';
  const same =
    'echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda bs=64k count=128 2>/dev/null | cmp - /tmp/x && echo same';
  expect(await lastLine(vmm, guest, copy + same)).toBe('same');
  await page.evaluate(() => window.tabvisor.processors({ mode: 'hosted' }));
  expect(await lastLine(vmm, guest, copy + same)).toBe('same');
});
