// Shared modules are negotiated before the shell's own code runs.
import('./bootstrap');
export {};
