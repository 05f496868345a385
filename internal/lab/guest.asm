; A guest without an operating system, which checks its own memory.
;
; It is the machine's firmware: a ROM of 64 KiB that the processor starts at its last 16 bytes. In 32-bit mode it fills the memory from
; 1 MiB up with data that does not compress, says 'R' on the serial port, and then, pass after pass:
;   - checks the tag of each page, and for the pages of the window also the count, which it then raises;
;   - says '.' if all were right, or 'X' if not;
;   - sleeps for a tick or two, so that a host with few cores has them for itself.
; After an NMI it spoils one tag, so that one can see the check fail. If ORDER is not 0 after a pass, it resets the machine.
;
; Parameters: MEMORY, bytes of memory; WINDOW, bytes from 1 MiB on that are dirtied each pass; HZ, ticks per second.
;
; A page holds, as words of 32 bits: count (window pages) or data; tag; data from there on. The word at address a of a page p is
;   tag:  p ^ TAG
;   data: x ^ x >> 15 with x = a * MIX, so that what should be where is known from the address alone.

BASE    equ 0x100000
PAGE    equ 4096
MIX     equ 0x9E3779B1
TAG     equ 0x51C1CE00
SERIAL  equ 0x3F8
PIT     equ 1193182 / HZ
IDT     equ 0x1000
STACK   equ 0x8000
ORDER   equ 0x6000
ROM     equ 0xF0000                     ; where the last 64 KiB of firmware also appear below 1 MiB
NMI     equ 2
TIMER   equ 0x20

%macro outb 2
        mov al, %2
        out %1, al
%endmacro

        org 0
start:
        bits 16
        cli
        o32 lgdt [cs:gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 8:(ROM + main)

        align 8
gdt:    dq 0
        dq 0x00CF9A000000FFFF           ; code, flat
        dq 0x00CF92000000FFFF           ; data, flat
gdtr:   dw gdtr - gdt - 1
        dd ROM + gdt
idtr:   dw (TIMER + 1) * 8 - 1
        dd IDT

        bits 32
main:
        mov eax, 16
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov esp, STACK

        ; Interrupts: the two that are used, the timer's acknowledged by the controller itself.
        mov dword [IDT + NMI * 8], (8 << 16) + spoil
        mov dword [IDT + NMI * 8 + 4], ((ROM >> 16) << 16) | 0x8E00
        mov dword [IDT + TIMER * 8], (8 << 16) + tick
        mov dword [IDT + TIMER * 8 + 4], ((ROM >> 16) << 16) | 0x8E00
        lidt [ROM + idtr]
        outb 0x20, 0x11                 ; edge, ICW4 follows
        outb 0x21, TIMER
        outb 0x21, 0x04                 ; the second controller would be on line 2
        outb 0x21, 0x03                 ; automatic end of interrupt
        outb 0x21, 0xFE                 ; the timer only
        outb 0x43, 0x34                 ; counter 0, rate generator
        outb 0x40, PIT & 0xFF
        outb 0x40, PIT >> 8
        mov dword [0xFEE00350], 0x700   ; local APIC: LINT0 is the controller's
        mov dword [0xFEE00360], 0x400   ; and LINT1 the NMI, neither masked as they are after a reset

        ; Fill.
        mov edi, BASE
        mov eax, (BASE * MIX) & 0xFFFFFFFF
fill:
%assign offset 0
%rep 16                                 ; half the time of a loop over single words
        mov ebx, eax
        shr ebx, 15
        xor ebx, eax
        mov [edi + offset], ebx
        add eax, (4 * MIX) & 0xFFFFFFFF
%assign offset offset + 4
%endrep
        add edi, offset
        cmp edi, MEMORY
        jb fill

        mov edi, BASE
label:
        mov eax, edi
        xor eax, TAG
        mov [edi + 4], eax
        cmp edi, BASE + WINDOW
        jae .next
        mov dword [edi], 0
.next:
        add edi, PAGE
        cmp edi, MEMORY
        jb label

        xor ebp, ebp                    ; the count that each page of the window should have
        mov al, 'R'
        call say
pass:
        mov bl, '.'
        mov edi, BASE
.page:
        mov eax, edi
        xor eax, TAG
        cmp [edi + 4], eax
        je .tagged
        mov bl, 'X'
.tagged:
        cmp edi, BASE + WINDOW
        jae .next
        cmp [edi], ebp
        je .counted
        mov bl, 'X'
.counted:
        lea eax, [ebp + 1]
        mov [edi], eax
.next:
        add edi, PAGE
        cmp edi, MEMORY
        jb .page
        inc ebp
        mov al, bl
        call say

        cmp byte [ORDER], 0
        je .stay
        mov byte [ORDER], 0
        outb 0x64, 0xFE                 ; the keyboard's controller pulls the reset line
.reset: hlt
        jmp .reset
.stay:
        ; Two ticks: the first may be one that has waited during the pass.
        sti
        hlt
        hlt
        cli
        jmp pass

; say puts al on the serial port, once that can take it.
say:
        mov ah, al
        mov dx, SERIAL + 5
.wait:
        in al, dx
        test al, 0x20
        jz .wait
        mov al, ah
        mov dx, SERIAL
        out dx, al
        ret

spoil:
        not dword [MEMORY - PAGE + 4]
tick:
        iret

        times 0xFFF0 - ($ - $$) db 0
        bits 16
        jmp 0xF000:start
        times 0x10000 - ($ - $$) db 0
