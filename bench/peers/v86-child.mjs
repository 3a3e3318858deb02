/**
 * One v86 machine in a Node process of its own, driven over IPC: see child-session.ts for the messages.
 *
 * Plain JavaScript, so that v86 runs exactly as it was published, without a loader that transforms it.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** v86 wants an ArrayBuffer of its own. */
function image(file) {
  if (file === undefined) return undefined;
  return { buffer: Uint8Array.from(readFileSync(file)).buffer };
}

async function start({ machine, firmware, jit }) {
  const { V86 } = await import(require.resolve('v86'));
  const { kernel, initrd, commandLine, memoryMiB, multiboot } = machine;
  const options = {
    wasm_path: require.resolve('v86/build/v86.wasm'),
    bios: image(firmware.bios),
    vga_bios: image(firmware.vgaBios),
    memory_size: memoryMiB * 2 ** 20,
    vga_memory_size: 2 * 2 ** 20,
    cmdline: commandLine,
    initrd: image(initrd),
    [multiboot ? 'multiboot' : 'bzimage']: image(kernel),
    disable_jit: !jit,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    autostart: true,
  };
  process.send({ kind: 'powerOn' });
  const emulator = new V86(options);
  // One write for what the guest prints in one turn of the event loop.
  let pending = [];
  emulator.add_listener('serial0-output-byte', (byte) => {
    if (pending.length === 0) {
      setImmediate(() => {
        process.stdout.write(Uint8Array.from(pending));
        pending = [];
      });
    }
    pending.push(byte);
  });
  return emulator;
}

let emulator;
process.on('message', async (message) => {
  if (message.kind === 'start') emulator = await start(message);
  else if (message.kind === 'type') emulator.serial0_send(message.text);
  // v86 counts with its JIT as well, in 32 bits.
  else if (message.kind === 'counters') process.send({ kind: 'counters' });
});
process.on('disconnect', () => process.exit(0));
