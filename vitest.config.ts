import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{src,tools,guests,bench}/**/*.test.ts'],
    environment: 'node',
    // Boots of whole kernels are scripts with their own time limits; what stands here is quick.
    testTimeout: 30_000,
  },
});
